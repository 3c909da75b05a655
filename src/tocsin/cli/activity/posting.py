"""Activities on their way to the server: in batches, repeated where it was not reached, counted when answered."""

import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from tocsin.cli.activity.lines import Line
from tocsin.cli.client import Client
from tocsin.cli.exits import UNREACHABLE, Failure
from tocsin.cli.output import say

MAX_BATCH = 1_000  # CONTRACT §3
_BATCH_BYTES = 4 << 20  # half of what a batch may have
_TOLD = 20  # so many refused lines are told one by one
_IN_BATCH = re.compile(r"^/activities/\d+")
# A server that restarts or is full is back within seconds.
_AGAIN_AFTER_S = (0.5, 1.0, 2.0, 4.0, 8.0)


class Tally:
    """What became of the lines of a file."""

    def __init__(self) -> None:
        self.accepted = self.duplicates = self.refused = 0
        self.last = 0  # the last line that was answered
        self.events: Counter[str] = Counter()
        self.labels: Counter[str] = Counter()

    def take(self, line: Line, result: Mapping[str, Any]) -> None:
        self.last = line.number
        if "error" in result:
            self.refuse(line, _faults(result["error"]))
        elif result["duplicate"]:
            self.duplicates += 1
        else:
            self.accepted += 1
            self.events.update(event["type"] for event in result["events"])
            if "label" in result:
                self.labels[result["label"]] += 1

    def refuse(self, line: Line, why: str) -> None:
        self.refused += 1
        self.last = line.number
        if self.refused <= _TOLD:
            say(f"line {line.number}: {why}")
        elif self.refused == _TOLD + 1:
            say("More lines are refused; they are counted, and not told one by one.")

    def shown(self) -> dict[str, Any]:
        return {
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "events": dict(sorted(self.events.items())),
            "labels": {name: self.labels[name] for name in ("CLEAN", "SUSPICIOUS", "FRAUD") if self.labels[name]},
        }


def post_all(
    client: Client, lines: Iterable[Line], batch: int, tally: Tally, each: Callable[[Line, Mapping[str, Any]], None]
) -> None:
    """Posts them; `each` sees the results in order.

    Raises:
        Failure: the server could not be reached for long, or refused a whole batch.
    """
    for together in _batches(lines, batch):
        good = [line for line in together if line.fault is None]
        results = iter(_post(client, good) if good else ())
        for line in together:
            if line.fault is not None:
                tally.refuse(line, line.fault)
                each(line, {"error": {"detail": line.fault}})
            else:
                result = next(results)
                tally.take(line, result)
                each(line, result)


def _batches(lines: Iterable[Line], most: int) -> Iterator[Sequence[Line]]:
    together: list[Line] = []
    size = 0
    for line in lines:
        if together and (len(together) >= most or size + len(line.body) > _BATCH_BYTES):
            yield together
            together, size = [], 0
        together.append(line)
        size += len(line.body)
    if together:
        yield together


def _post(client: Client, lines: Sequence[Line]) -> Sequence[Mapping[str, Any]]:
    """One request; what the server could not store of it is posted again, by itself."""
    results = list(_request(client, lines))
    for wait_s in _AGAIN_AFTER_S:
        unstored = [at for at, result in enumerate(results) if _unstored(result)]
        if not unstored:
            break
        say(f"{len(unstored)} could not be stored; trying again in {wait_s:g} s …")
        time.sleep(wait_s)
        again = _request(client, [lines[at] for at in unstored])
        for at, result in zip(unstored, again, strict=True):
            results[at] = result
    return results


def _unstored(result: Mapping[str, Any]) -> bool:
    """Nothing is wrong with it: the server was."""
    return "error" in result and result["error"]["status"] == HTTPStatus.SERVICE_UNAVAILABLE


def _request(client: Client, lines: Sequence[Line]) -> Sequence[Mapping[str, Any]]:
    """Repeated under one `Idempotency-Key`, so that what had come through is not counted twice."""
    body = b'{"activities":[' + b",".join(line.body for line in lines) + b"]}"
    key = secrets.token_urlsafe(16)
    for wait_s in (*_AGAIN_AFTER_S, None):
        try:
            answer = client.call("POST", "/v1/activity", body=body, key=key)
        except Failure as failure:
            if failure.code != UNREACHABLE or wait_s is None:
                raise
            say(f"{failure.detail}; trying again in {wait_s:g} s …")
            time.sleep(wait_s)
        else:
            results: Sequence[Mapping[str, Any]] = answer["results"]
            return results
    raise AssertionError("the last try either returns or raises")


def _faults(problem: Mapping[str, Any]) -> str:
    """In one line; without where in its batch it stood, since its own line's number is told."""
    faults = [
        f"{_IN_BATCH.sub('', fault['pointer'])}: {fault['detail']}".removeprefix(": ")
        for fault in problem.get("errors") or ()
    ]
    return "; ".join(faults) or _IN_BATCH.sub("", problem.get("detail") or problem.get("title") or "refused")
