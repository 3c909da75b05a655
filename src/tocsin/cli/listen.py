"""``tocsin listen``: a receiver to look into."""

import asyncio
import signal
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, validators

from tocsin.cli import chat_lines
from tocsin.cli.doubles import AS_IT_IS, DoubleFlags, Service, announce, make_double
from tocsin.cli.exits import FAILED, USAGE, Failure
from tocsin.cli.output import AsJson, Texts, clean, console, pretty_body, put_json_line, say
from tocsin.cli.settings import OUR_DIALECTS, DialectFlags
from tocsin.cli.verify import Secrets

if TYPE_CHECKING:
    from tocsin.receiver.doubles import Double
    from tocsin.receiver.inbox.arrivals import Arrival
    from tocsin.receiver.inbox.server import Inbox

_Share = Annotated[float, Parameter(validator=validators.Number(gte=0, lte=1))]
_Status = Annotated[int, Parameter(validator=validators.Number(gte=200, lte=599))]
_Seconds = Annotated[float, Parameter(validator=validators.Number(gte=0))]
_Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65_535))]


def listen(
    *,
    host: str = "127.0.0.1",
    port: _Port = 8410,
    secret: Secrets = (),
    profile: str | None = None,
    signature_header: str | None = None,
    status: _Status = 200,
    delay: _Seconds = 0.0,
    fail_rate: _Share = 0.0,
    forward: str | None = None,
    hide: Annotated[Texts, Parameter(name="--hide")] = (),
    as_json: AsJson = False,
    stand_in: Annotated[Service | None, Parameter(name="--as", negative=(), show_default=False)] = None,
    double: DoubleFlags = AS_IT_IS,
    dialects: DialectFlags = OUR_DIALECTS,
) -> None:
    """Receive webhooks, until interrupted.

    Args:
        host: The address to listen at.
        port: The port; 0 takes a free one.
        secret: The webhook's secret; repeatable: one of them must fit. Without it nothing is verified.
        profile: The senders' dialect; found by the headers of each request unless said otherwise.
        signature_header: The header that the signature is in, where another was chosen (visits).
        status: What to answer.
        delay: How many seconds to wait before answering.
        fail_rate: Which share of the requests to answer with 500: 0 to 1.
        forward: Pass every request on to this address, and answer as it does.
        hide: What to leave out on a terminal: headers, body; repeatable.
        as_json: Print one JSON object a line, when a request has been answered.
        stand_in: Stand in for a chat or a mail server: take its messages, keep its limits, and show them as it would.
    """
    if stand_in is not None:
        of_webhooks = (profile, signature_header, status, delay, fail_rate, forward, hide)
        if of_webhooks != (None, None, 200, 0.0, 0.0, None, ()):
            raise Failure(USAGE, "with --as it is the service that decides: give only --host, --port and what is below")
        asyncio.run(_stand_in(make_double(stand_in, host, port, double), as_json=as_json))
        return
    if double != AS_IT_IS:
        raise Failure(USAGE, "--fail, --rate-limits, --smtp-port, --certificate and --login go with --as")
    dialects.use()
    from tocsin import profiles

    if profile is not None and profile not in profiles.names():
        raise Failure(USAGE, f"no profile is called {profile!r}; there are {', '.join(profiles.names())}")
    if forward is not None and not forward.startswith(("http://", "https://")):
        raise Failure(USAGE, f"--forward {forward!r} is no address such as http://127.0.0.1:3000/hooks")
    unknown = set(hide) - {"headers", "body"}
    if unknown:
        raise Failure(USAGE, f"--hide takes headers and body, not {', '.join(sorted(unknown))}")
    from tocsin.receiver.inbox.replying import Behaviour
    from tocsin.receiver.inbox.server import Inbox

    async def run() -> None:
        behaviour = Behaviour(status=status, delay_s=delay, fail_rate=fail_rate, forward=forward)
        inbox = Inbox(host=host, port=port, reply=behaviour, profile=profile, signature_header=signature_header)
        inbox.trust(*secret)
        show = _JsonLines() if as_json else _Lines(frozenset(hide))
        inbox.history.listen(show)
        await _started(inbox.start(), host, port)
        try:
            _announce(inbox, secret)
            await _until_told_to_stop()
        finally:
            await inbox.stop()
            await behaviour.close()

    asyncio.run(run())


async def _stand_in(double: "Double", *, as_json: bool) -> None:
    double.history.listen(chat_lines.JsonLines() if as_json else chat_lines.Lines())
    await _started(double.start(), double.host, double.port)
    try:
        announce(double)
        await _until_told_to_stop()
    finally:
        await double.stop()


async def _started(start: Awaitable[None], host: str, port: int) -> None:
    try:
        await start
    except OSError as error:
        raise Failure(
            FAILED, f"cannot listen at {host}, port {port}: {error.strerror}", ["Another port: --port"]
        ) from None


async def _until_told_to_stop() -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def _announce(inbox: "Inbox", secret: tuple[str, ...]) -> None:
    say(f"Listening at {inbox.url()} (every path); open it in a browser to see what arrives.")
    if not secret:
        say("Nothing is verified: give the webhook's secret with --secret or TOCSIN_WEBHOOK_SECRET.")


class _JsonLines:
    """Each arrival once, when it has its answer."""

    def __call__(self, arrival: "Arrival") -> None:
        if arrival.took_ms is not None:
            put_json_line(arrival.shown())


class _Lines:
    """Each arrival when it comes, and its answer when that is given."""

    def __init__(self, hidden: frozenset[str]) -> None:
        self._hidden = hidden
        self._out = console()

    def __call__(self, arrival: "Arrival") -> None:
        if arrival.took_ms is None:
            self._came(arrival)
        else:
            note = f": {arrival.note}" if arrival.note else ""
            answer = "no answer" if arrival.status is None else f"answered {arrival.status}"
            self._line(f"  #{arrival.n} {answer} after {arrival.took_ms:.1f} ms{note}", style="dim")

    def _came(self, arrival: "Arrival") -> None:
        from tocsin.clock import rfc3339

        verdict = arrival.verdict
        marks = [mark for mark, holds in (("test", arrival.test), ("duplicate", arrival.duplicate)) if holds]
        if arrival.nth > 1:
            marks.append(f"attempt {arrival.nth}")
        what = f"{verdict.type or arrival.method} {verdict.id or ''}".rstrip()
        line = f"#{arrival.n} {rfc3339(arrival.at)} {what} at {arrival.path}"
        if marks:
            line += f" ({', '.join(marks)})"
        self._line(line, style="bold")
        dialect = f" ({verdict.profile})" if verdict.profile else ""
        if verdict.verified:
            note = f": {verdict.note}" if verdict.note else ""
            self._line(f"  verified{dialect}{note}", style="green")
        elif verdict.verified is False:
            self._line(f"  NOT VERIFIED{dialect}: {verdict.cause}: {verdict.sentence}", style="red")
        else:
            self._line(f"  not checked{dialect}: no secret was given", style="yellow")
        if "headers" not in self._hidden:
            for name, value in arrival.headers:
                self._line(f"  {name}: {value}", style="dim")
        if "body" not in self._hidden and arrival.body:
            for line in pretty_body(arrival.body.decode(errors="backslashreplace")).split("\n"):
                self._line(f"  {line}")

    def _line(self, text: str, style: str = "") -> None:
        from rich.text import Text

        self._out.print(Text(clean(text), style=style), soft_wrap=True)
        self._out.file.flush()
