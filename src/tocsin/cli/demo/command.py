"""The command itself: what is asked for, and how the findings are shown."""

import asyncio
import signal
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import msgspec

from tocsin.cli.demo.scenario import PARTS
from tocsin.cli.exits import FAILED, OK, Failure
from tocsin.cli.output import AsJson, Flag, put_json, put_table, put_text, say

if TYPE_CHECKING:
    from tocsin.cli.demo.report import Report
    from tocsin.cli.demo.run import Demonstration
    from tocsin.cli.demo.server import ServerProcess

_WIDE = 78  # what any terminal shows, and so the table too


def demo(*, keep: Flag = False, seed: int = 1, as_json: AsJson = False) -> int:
    """Show it all at work.

    Args:
        keep: Leave server and receivers running afterwards, until interrupted; says their address and keys.
        seed: Another number makes other events.
        as_json: Print JSON.
    """
    from tocsin import profiles
    from tocsin.cli.demo.chats import STORY
    from tocsin.cli.demo.run import Demonstration
    from tocsin.cli.demo.scenario import retry_scale
    from tocsin.cli.demo.server import ServerProcess

    for part in PARTS:
        say(fill(f"{part.name} ({part.does}): {part.story}", _WIDE, subsequent_indent="  "))
    say(fill(STORY, _WIDE, subsequent_indent="  "))
    say()

    async def show() -> int:
        found = {name: profiles.load(name) for name in profiles.names()}
        server = ServerProcess(Path(folder), retry_scale(found))
        demonstration = Demonstration(server, seed, say)
        stop = _stop_on_signals()
        try:
            report = await _unless_stopped(demonstration, stop)
            if report is None:
                say("Interrupted.")
                return FAILED
            _put(report, as_json=as_json)
            if not report.ok:
                _blame(report, server)
            if keep:
                await _keep(demonstration, server, stop)
        except Failure as failure:
            raise Failure(
                failure.code, failure.detail, [*failure.lines, "The server's log ends so:", server.log_tail()]
            ) from None
        finally:
            await server.stop()
            await demonstration.close()
        return OK if report.ok else FAILED

    with tempfile.TemporaryDirectory(prefix="tocsin-demo-") as folder:
        return asyncio.run(show())


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


async def _unless_stopped(demonstration: "Demonstration", stop: asyncio.Event) -> "Report | None":
    running = asyncio.ensure_future(demonstration.run())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if running.done():
        return running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return None


def _put(report: "Report", *, as_json: bool) -> None:
    if as_json:
        put_json({"ok": report.ok, **msgspec.to_builtins(report)})
        return
    put_text("")
    put_table(
        ("profile", "activities", "fired", "of", "fraud found", "honest suspected", ""),
        (
            (
                row.profile,
                row.activities,
                f"{row.events} events",
                f"{len(row.types)} types",
                f"{row.found} of {row.fraud}",
                row.alarms,
                "fail" if row.faults else "ok",
            )
            for row in report.traffic
        ),
    )
    put_text("")
    put_table(
        ("profile", "receiver", "events", "verified", "ended as", "webhook", ""),
        _lines(report),
    )
    put_text("")
    put_table(
        ("profile", "chat", "alerts", "messages", "alone", "in summaries", "notices", "refused", ""),
        _chat_lines(report),
    )
    put_text("")
    put_table(("", "also"), (("fail" if check.fault else "ok", check.what) for check in report.checks))
    put_text("")
    again = sum(row.duplicates for row in report.rows)
    requests = sum(row.requests for row in report.rows)
    said = (
        f"{report.events} events, {requests} requests, {again} of them for an event that had been taken; "
        f"99 % of what the healthy receiver got was there within {_slowest_ms(report):g} ms."
    )
    put_text(fill(said, _WIDE))
    put_text(
        f"All of it in {report.seconds:g} s: {'as the scenario says.' if report.ok else 'NOT as the scenario says.'}",
        style="bold green" if report.ok else "bold red",
    )
    put_text("With --keep it all stays open, to look at the chats in a browser.")


def _lines(report: "Report") -> Iterator[Sequence[object]]:
    """A row for each webhook; the name of a profile stands before its first one only."""
    before = None
    for row in report.rows:
        yield (
            "" if row.profile == before else row.profile,
            row.receiver,
            row.expected,
            f"{row.verified} of {row.requests}",
            ", ".join(f"{count} {state}" for state, count in row.states.items()),
            row.status,
            "fail" if row.faults else "ok",
        )
        before = row.profile


def _chat_lines(report: "Report") -> Iterator[Sequence[object]]:
    before = None
    for row in report.chats:
        yield (
            "" if row.profile == before else row.profile,
            row.chat,
            row.alerts,
            row.messages,
            row.singles,
            f"{row.counted} in {row.summaries}",
            row.notices,
            row.throttled + row.refused,
            "fail" if row.faults else "ok",
        )
        before = row.profile


def _slowest_ms(report: "Report") -> float:
    """From the 202 to the arrival, for all but the slowest hundredth of a healthy receiver's events."""
    return max(
        (row.latency_ms[1] for row in report.rows if row.receiver == PARTS[0].name and row.latency_ms), default=0
    )


def _blame(report: "Report", server: "ServerProcess") -> None:
    for told in report.traffic:
        for fault in told.faults:
            say(f"{told.profile}, activity: {fault}")
    for row in report.rows:
        for fault in row.faults:
            say(f"{row.profile}, {row.receiver} ({row.webhook}): {fault}")
    for chat in report.chats:
        for fault in chat.faults:
            say(f"{chat.profile}, {chat.chat} ({chat.webhook}): {fault}")
    for check in report.checks:
        if check.fault:
            say(f"{check.what}: {check.fault}")
    say("The server's log ends so:")
    say(server.log_tail())


async def _keep(demonstration: "Demonstration", server: "ServerProcess", stop: asyncio.Event) -> None:
    say("")
    say("It goes on running until you interrupt it. In another terminal:")
    say(f"  export TOCSIN_URL={server.url}")
    for tenant in demonstration.tenants:
        say(f"  export TOCSIN_KEY={_key(tenant.account)}   # the account {tenant.account['name']}")
    say(f"  export TOCSIN_ADMIN_KEY={server.operator_key}   # the operator's, where no TOCSIN_KEY is set")
    for name, page in demonstration.chats.pages:
        say(f"  {page}   # {name}, as people see it")
    say("  tocsin deliveries list")
    await stop.wait()


def _key(account: Any) -> str:
    return str(account["key"])
