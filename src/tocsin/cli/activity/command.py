"""The commands: what is asked for, and how the answers are shown."""

import io
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from cyclopts import Parameter, validators

from tocsin.cli.activity.lines import Added, Form, Line, form_of, from_cells, read_lines
from tocsin.cli.activity.posting import MAX_BATCH, Tally, post_all
from tocsin.cli.client import Client
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.exits import INVALID, OK, USAGE, Failure
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, Flag, Texts, put_json, put_json_line, put_pairs, put_table, put_text, say
from tocsin.cli.reading import read_json

Kind = Literal[
    "visit", "click", "impression", "conversion", "conversion_status", "spend", "campaign", "partner", "billing"
]
_STDIN = "-"

app = command_group("activity", "Post what happened; the server decides what fires.")


@app.default
def publish(
    kind: Kind | None = None,
    /,
    *,
    data: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    set_: Annotated[Texts, Parameter(name="--set")] = (),
    external_id: str | None = None,
    happened_at: Annotated[str | None, Parameter(name="--at")] = None,
    file: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    form: Annotated[Form | None, Parameter(name="--format")] = None,
    ids: str | None = None,
    from_line: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 1,
    batch: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=MAX_BATCH))] = 500,
    each: Flag = False,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> int:
    """Post one activity, or a file of them: JSON lines, or CSV whose columns are keys such as click_id and visitor.ip.

    Args:
        kind: What it is; in a file, what the lines are that do not say it.
        data: One activity: JSON, a file that holds it, or - for stdin.
        set_: One activity, key by key: visitor.ip=203.0.113.9. Repeatable.
        external_id: Your own id for the one activity; the same content again under that id is not counted twice.
        happened_at: When it happened (RFC 3339); now unless said otherwise.
        file: Many activities, one a line: a file, or - for stdin.
        form: jsonl or csv; by the file's ending unless said otherwise.
        ids: Gives lines without an external_id this name and their line's number as one, so that the same file can be
            posted again, after an interruption perhaps, and nothing counts twice.
        from_line: Begin at this line of the file.
        batch: How many go into one request.
        each: Print each line's result as JSON.
        as_json: Print JSON.
    """
    if (data is not None) + bool(set_) + (file is not None) != 1:
        raise Failure(USAGE, "give one activity with --data or --set, or a file of them with --file")
    if file is None:
        if kind is None:
            raise Failure(USAGE, "say what it is: tocsin activity click --data …")
        body = _one(kind, data, set_, external_id, happened_at)
        with Client(at) as client:
            [result] = client.call("POST", "/v1/activity", body=body)["results"]
        return _put_result(result, as_json=as_json)
    if external_id is not None or happened_at is not None:
        raise Failure(USAGE, "--external-id and --at are for one activity; in a file each line has its own")
    tally = Tally()
    added = Added(kind=kind, ids=ids)
    with ExitStack() as stack:
        source = stack.enter_context(_opened(file))
        client = stack.enter_context(Client(at))
        lines = read_lines(stack.enter_context(_watched(source, file)), form or form_of(file), added, from_line)
        try:
            post_all(client, lines, batch, tally, _print_each if each else _print_nothing)
        except (Failure, KeyboardInterrupt) as error:
            _say_where(tally, file)
            if isinstance(error, Failure):
                raise
            raise KeyboardInterrupt from None
    _put_tally(tally, as_json=as_json, to_stderr=each)
    return INVALID if tally.refused else OK


@app.command
def generate(
    *,
    clicks: Annotated[int, Parameter(validator=validators.Number(gte=1))] = 1_000,
    seed: int = 1,
    date: str | None = None,
    fraud: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))] = 0.02,
    kind: Annotated[tuple[Kind, ...], Parameter(negative=())] = (),
    truth: Path | None = None,
) -> None:
    """Make up a day of traffic; prints it as JSON lines, in the order of time.

    Visitors from fifteen countries click on twelve campaigns, some convert, money is spent; and five kinds of fraud are
    among it. The same seed and date make the same day.

    Args:
        clicks: How many clicks the day has.
        seed: Another number makes another day.
        date: The day (2026-03-14), in UTC; yesterday unless said otherwise.
        fraud: Which share of the clicks is fraud, a fifth of it each of the five kinds.
        kind: Only activities of this kind. Repeatable.
        truth: Writes which clicks are fraud into this file: a JSON line each, with external_id and pattern.
    """
    from tocsin.cli.traffic import Day
    from tocsin.clock import Millis

    begins = _day(date)
    day = Day(clicks=clicks, seed=seed, begins_at=Millis(round(begins.timestamp() * 1000)), fraud=fraud)
    with ExitStack() as stack:
        ledger = stack.enter_context(truth.open("w", encoding="utf-8")) if truth is not None else None
        for made in day:
            if kind and made.kind not in kind:
                continue
            put_json_line(made.body)
            if ledger is not None and made.pattern is not None:
                ledger.write(f'{{"external_id":"{made.external_id}","pattern":"{made.pattern}"}}\n')


def _day(date: str | None) -> datetime:
    if date is None:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return today - timedelta(days=1)
    try:
        return datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise Failure(USAGE, f"--date {date!r} is no day such as 2026-03-14") from None


# --- one activity -------------------------------------------------------------------------------------------------


def _one(
    kind: str, data: str | None, cells: tuple[str, ...], external_id: str | None, happened_at: str | None
) -> bytes:
    """The request, with the data's own bytes: the server judges them as they are."""
    import json

    content = read_json(data, "--data").strip() if data is not None else json.dumps(_from_flags(cells)).encode()
    value = json.loads(content)
    if not isinstance(value, dict):
        raise Failure(USAGE, "--data is no JSON object")
    said = {"kind": kind, "external_id": external_id, "at": happened_at}
    if value.get("kind", kind) != kind:
        raise Failure(USAGE, f"--data is a {value['kind']}, not a {kind}")
    head = {name: text for name, text in said.items() if text is not None and not (name == "kind" and name in value)}
    if not head:
        return content
    return json.dumps(head).encode()[:-1] + (b"," if value else b"") + content[1:]


def _from_flags(flags: tuple[str, ...]) -> dict[str, Any]:
    cells = {}
    for flag in flags:
        name, equals, text = flag.partition("=")
        if not equals or not all(name.split(".")):
            raise Failure(USAGE, f"--set {flag!r} is not of the form visitor.ip=203.0.113.9")
        cells[name] = text
    try:
        return from_cells(cells)
    except ValueError as error:
        raise Failure(USAGE, f"--set: {error}") from None


def _put_result(result: Mapping[str, Any], *, as_json: bool) -> int:
    if as_json:
        put_json(result)
        return OK
    shown = {name: value for name, value in result.items() if name not in ("events", "reasons")}
    put_pairs({**shown, "reasons": [_reason(one) for one in result.get("reasons") or ()]})
    if result["events"]:
        put_text("")
        put_table(("event", "type"), ([event["id"], event["type"]] for event in result["events"]))
    if result["duplicate"]:
        say("This was accepted before under that external id; nothing is counted again.")
    elif not result["events"]:
        say("Nothing fires.")
    return OK


def _reason(reason: Any) -> str:
    return f"{reason['rule']} {reason['points']}" if isinstance(reason, Mapping) and "rule" in reason else str(reason)


# --- many ---------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(file: str) -> Iterator[io.BufferedReader]:
    if file == _STDIN:
        yield cast("io.BufferedReader", sys.stdin.buffer)
        return
    try:
        opened = Path(file).open("rb")  # noqa: SIM115 - closed below
    except OSError as error:
        raise Failure(USAGE, f"{file} cannot be read: {error.strerror}") from None
    with opened:
        yield opened


@contextmanager
def _watched(source: io.BufferedReader, file: str) -> Iterator[io.BufferedReader]:
    """The same file; on a terminal a bar shows how far it is read."""
    if not sys.stderr.isatty():
        yield source
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from tocsin.cli.output import console

    total = None if file == _STDIN else Path(file).stat().st_size
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as progress:
        task = progress.add_task("posting", total=total)
        yield io.BufferedReader(_Counted(source, lambda count: progress.advance(task, count)))


class _Counted(io.RawIOBase):
    """Tells how many bytes are read through it."""

    def __init__(self, source: io.BufferedReader, tell: Callable[[int], None]) -> None:
        self._source = source
        self._tell = tell

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        raw = self._source.read1(len(buffer))  # what is there: a pipe may drip
        buffer[: len(raw)] = raw
        self._tell(len(raw))
        return len(raw)


def _print_each(line: Line, result: Mapping[str, Any]) -> None:
    put_json_line({"line": line.number, **result})


def _print_nothing(_line: Line, _result: Mapping[str, Any]) -> None:
    pass


def _say_where(tally: Tally, file: str) -> None:
    if tally.last:
        say(f"What stands in {file} up to line {tally.last} was answered; go on with --from-line {tally.last + 1}.")


def _put_tally(tally: Tally, *, as_json: bool, to_stderr: bool) -> None:
    """`to_stderr`: stdout has the results."""
    shown = tally.shown()
    if to_stderr:
        say(f"{tally.accepted} accepted, {tally.duplicates} duplicates, {tally.refused} refused.")
    elif as_json:
        put_json(shown)
    else:
        put_pairs({name: shown[name] for name in ("accepted", "duplicates", "refused")})
        put_text("")
        put_table(
            ("fired", "times"),
            [*shown["events"].items()] or [["nothing", 0]],
        )
        if shown["labels"]:
            put_text("")
            put_table(("judged", "times"), shown["labels"].items())
