"""What a chat of the demonstration was told, held against what was accepted for it: nothing lost, nothing twice, and
few messages.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from tocsin.cli.demo.faults import set_faults, shortened
from tocsin.model import DIGEST_TYPE, NOTICE_TYPE
from tocsin.receiver.doubles import Refused, Shown

_TOO_FAST = 429
# From the claim of a delivery to the arrival of its message, at most: so much later than the window may it be there.
_ON_ITS_WAY_S = 1.0
# "505 alerts in 6 seconds", "Fraud burst over: 1,204 alerts in 3 minutes".
_LINK = re.compile(r"(?<=/links/)[^\s<>]+")
_COUNT = re.compile(r"([0-9][0-9,]*) alerts in ")


class ChatRow(msgspec.Struct, frozen=True, kw_only=True):
    """One chat. `faults`: what should not be so; empty: nothing.

    Args:
        singles: alerts that were messages of their own.
        counted: alerts that are in `summaries`.
        notices: words on another webhook that was stopped.
        edits: of messages, by which incidents were told on.
        throttled, refused: requests that the service did not take: for being too fast, and for all else.
        sample: the message that stands for most, as text.
    """

    profile: str
    chat: str
    webhook: str
    alerts: int
    messages: int
    singles: int
    counted: int
    summaries: int
    notices: int
    edits: int
    throttled: int
    refused: int
    sample: str
    faults: Sequence[str]


def judge_chat(
    *,
    profile: str,
    chat: str,
    webhook: Mapping[str, Any],
    expected: Collection[str],
    deliveries: Sequence[Mapping[str, Any]],
    texts: Mapping[str, str],
    messages: Sequence[Shown],
    refused: Sequence[Refused],
    window_s: float,
    singles: int,
) -> ChatRow:
    """Compares.

    Args:
        expected: the events that were accepted for it.
        deliveries: of the webhook, digests too.
        texts: what was sent last, as it is read, by delivery.
        messages, refused: of the service's double, for this chat.
        window_s, singles: the webhook's digest rule.
    """
    notices = [one for one in deliveries if one["type"] == NOTICE_TYPE]
    alerts = [one for one in deliveries if one["type"] not in (DIGEST_TYPE, NOTICE_TYPE)]
    digests = {one["id"]: one for one in deliveries if one["type"] == DIGEST_TYPE}
    alone = [one for one in alerts if one["digest_id"] is None]
    sent = [one for one in digests.values() if one["digest_id"] is None]
    posted = [*alone, *sent, *notices]
    told, unforeseen = _told(messages, posted, texts)
    throttled = sum(one.status == _TOO_FAST for one in refused)
    faults = [
        *set_faults("alerts", expected, [one["event_id"] for one in alerts]),
        *shortened([*_ending_faults(posted), *_digest_faults(deliveries, digests)]),
        *shortened([*_message_faults(posted, told), *(f"{text!r} came unforeseen" for text in unforeseen)]),
        *_flood_faults([told[one["id"]] for one in alone if one["id"] in told], window_s, singles),
        *shortened([f"refused as {one.name}: {one.why}" for one in refused if one.status != _TOO_FAST]),
    ]
    if webhook["status"] != "active":
        faults.append(f"the webhook should be active and is {webhook['status']} ({webhook['status_reason']})")
    most = max((one for one in sent if one["id"] in told), key=lambda one: one["members"], default=None)
    return ChatRow(
        profile=profile,
        chat=chat,
        webhook=webhook["id"],
        alerts=len(alerts),
        messages=len(messages),
        singles=len(alone),
        counted=sum(one["members"] for one in sent),
        summaries=len(sent),
        notices=len(notices),
        edits=sum(len(one.edits) for one in messages),
        throttled=throttled,
        refused=len(refused) - throttled,
        sample=told[most["id"]].text if most is not None else "",
        faults=faults,
    )


def _told(
    messages: Sequence[Shown], posted: Sequence[Mapping[str, Any]], texts: Mapping[str, str]
) -> tuple[Mapping[str, Shown], Sequence[str]]:
    """The message of each delivery, found by what the log says was sent; and the first lines of those of none."""
    there = defaultdict(list)
    for message in messages:
        there[_unlinked(message.text)].append(message)
    told = {one["id"]: there[text].pop() for one in posted if there.get(text := _unlinked(texts.get(one["id"], "")))}
    return told, [message.text.partition("\n")[0] for left in there.values() for message in left]


def _unlinked(text: str) -> str:
    """Without what its links allow, which the log does not tell."""
    return _LINK.sub("…", text)


def _ending_faults(posted: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in posted:
        if one["status"] != "succeeded":
            yield f"{one['id']} should have succeeded and is {one['status']}"


def _digest_faults(deliveries: Sequence[Mapping[str, Any]], digests: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Each member points to a digest that is there, and each digest counts those that point to it."""
    stands_for: dict[str, int] = dict.fromkeys(digests, 0)
    for one in deliveries:
        into = one["digest_id"]
        if into is None:
            continue
        if one["status"] != "digested":
            yield f"{one['id']} is in {into} and is {one['status']}"
        if into not in digests:
            yield f"{one['id']} is in {into}, which is not there"
        else:
            stands_for[into] += one["members"] if one["id"] in digests else 1
    for id_, count in stands_for.items():
        if count != digests[id_]["members"]:
            yield f"{id_} says {digests[id_]['members']} and has {count}"


def _message_faults(posted: Sequence[Mapping[str, Any]], told: Mapping[str, Shown]) -> Iterator[str]:
    """Each delivery has its message; a summary's says how many it counts, one of a single event is that event's own."""
    for one in posted:
        message = told.get(one["id"])
        if message is None:
            yield f"the message of {one['id']} is not in the chat as it was sent"
            continue
        counts = [int(found.replace(",", "")) for found in _COUNT.findall(message.text.partition("\n")[0])]
        count = 1 if one["members"] is None else one["members"]
        if counts != ([] if count == 1 else [count]):
            yield f"{one['id']} stands for {count}; its message begins {message.text.partition(chr(10))[0]!r}"


def _flood_faults(alone: Sequence[Shown], window_s: float, singles: int) -> Iterator[str]:
    """A window begins at the earliest when the one before has ended, so that there are no more than fit in between."""
    if not alone:
        return
    span_s = (max(one.at for one in alone) - min(one.at for one in alone)) / 1000 + _ON_ITS_WAY_S
    allowed = singles * (int(span_s // window_s) + 1)
    if len(alone) > allowed:
        yield f"{len(alone)} alerts were sent on their own in {span_s:.1f} s; the settings allow {allowed}"
