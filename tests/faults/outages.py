"""The ways in which PostgreSQL, or the way to it, fails a server that publishers keep busy.

Each lasts for so many seconds, or a little longer; when it returns, what it did has ended.

    python -m tests.faults.outages                    # every one for 20 s, with 30 s of full load before and after
    python -m tests.faults.outages silent --for 60
"""

import argparse
import asyncio
import base64
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import asyncpg

from tests.faults.outage import RECOVERY_S, RETRY_SCALE, Evidence, Stage, judge
from tests.support.postgres_server import PostgresServer
from tests.support.proxy import Proxy
from tests.support.receiver import LedgerReceiver
from tests.support.server import Server

SECRET_KEY = base64.b64encode(bytes(32)).decode()

_NAME = "tocsin"

# Few enough that a test can take all of them: more than a server of ours ever asks for.
_CONNECTIONS = 40

_ALL_TABLES = """
SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables WHERE schemaname = 'public'
"""


@dataclass(frozen=True)
class Ground:
    """A server on a PostgreSQL server of its own, with a proxy in between."""

    postgres: PostgresServer
    proxy: Proxy
    server: Server
    stage: Stage

    def end_connections(self) -> None:
        with suppress(asyncpg.PostgresError, OSError):
            self.postgres.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_NAME}'")


@contextmanager
def ground(folder: Path, **pace: float | None) -> Iterator[Ground]:
    with (
        PostgresServer({"max_connections": str(_CONNECTIONS)}) as postgres,
        Proxy(postgres.socket) as proxy,
        LedgerReceiver() as receiver,
    ):
        postgres.sql(f"CREATE DATABASE {_NAME}")
        settings = {"db": proxy.address(_NAME), "secret_key": SECRET_KEY, "retry_scale": RETRY_SCALE}
        with Server(folder, **settings) as server:
            yield Ground(postgres, proxy, server, Stage(server, receiver, **pace))


# --- the outages --------------------------------------------------------------------------------------------------


def stopped(on: Ground, seconds: float) -> None:
    """PostgreSQL is stopped in good order and started again."""
    on.postgres.stop()
    time.sleep(seconds)
    on.postgres.start()


def crashed(on: Ground, seconds: float) -> None:
    """PostgreSQL ends at once, and recovers from its log."""
    on.postgres.stop_at_once()
    time.sleep(seconds)
    on.postgres.start()


def connections_ended(on: Ground, seconds: float) -> None:
    """PostgreSQL ends all our connections, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        on.end_connections()
        time.sleep(0.1)


def reset(on: Ground, seconds: float) -> None:
    """The network resets connections and lets none through."""
    on.proxy.refuse()
    time.sleep(seconds)
    on.proxy.heal()


def flapping(on: Ground, seconds: float) -> None:
    """The network resets connections again and again, but lets new ones through."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        on.proxy.cut()
        time.sleep(0.1)


def silent(on: Ground, seconds: float) -> None:
    """Nothing passes and nobody is told; in the end what was kept back arrives."""
    on.proxy.silence()
    time.sleep(seconds)
    on.proxy.heal()


def forgotten(on: Ground, seconds: float) -> None:
    """Nothing passes and nobody is told; in the end the old connections are gone."""
    on.proxy.silence()
    time.sleep(seconds)
    on.proxy.heal(cut=True)


def locked(on: Ground, seconds: float) -> None:
    """Somebody holds locks on all of our tables."""

    async def hold() -> None:
        connection = await asyncpg.connect(on.postgres.address(_NAME))
        async with connection.transaction():
            await connection.execute(f"LOCK TABLE {await connection.fetchval(_ALL_TABLES)}")
            await asyncio.sleep(seconds)
        await connection.close()

    asyncio.run(hold())


def exhausted(on: Ground, seconds: float) -> None:
    """Others have taken every connection that PostgreSQL has."""

    async def take() -> None:
        taken = []
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                try:
                    taken.append(await asyncpg.connect(on.postgres.address("postgres")))
                except asyncpg.TooManyConnectionsError:
                    ours = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = $1"
                    if not await taken[0].fetchval(ours, _NAME):
                        await asyncio.sleep(0.05)
        finally:
            for connection in taken:
                await connection.close()

    asyncio.run(take())


def commits_unknown(on: Ground, seconds: float) -> None:
    """Whoever commits is cut off when it was done."""
    on.proxy.swallow_commits()
    time.sleep(seconds)
    on.proxy.heal()
    assert on.proxy.swallowed, "nothing was committed"


OUTAGES: Mapping[str, Callable[[Ground, float], None]] = {
    outage.__name__: outage
    for outage in (
        stopped,
        crashed,
        connections_ended,
        reset,
        flapping,
        silent,
        forgotten,
        locked,
        exhausted,
        commits_unknown,
    )
}


def run(
    outages: Sequence[tuple[str, float]], folder: Path, *, around_s: float, **pace: float | None
) -> Sequence[tuple[str, Evidence]]:
    """Outages of so many seconds each, one after the other, with `around_s` of publishing before and after each;
    judged together.
    """
    with ground(folder, **pace) as on:
        calls = [partial(OUTAGES[name], on, seconds) for name, seconds in outages]
        found = on.stage.run(*calls, before_s=around_s, after_s=around_s)
    judge(found[-1])
    return [(name, evidence) for (name, _), evidence in zip(outages, found, strict=True)]


# --- by command ---------------------------------------------------------------------------------------------------


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[[], *OUTAGES], help="which ones (all)")
    parser.add_argument("--for", type=float, default=20.0, dest="seconds", help="how long each lasts, in seconds (20)")
    args = parser.parse_args()
    short = []
    for name in args.names or OUTAGES:
        with tempfile.TemporaryDirectory() as folder:
            [(_, evidence)] = run([(name, args.seconds)], Path(folder), around_s=RECOVERY_S, per_s=None)
        sys.stdout.write(f"{name}: {evidence}\n")
        sys.stdout.flush()
        if evidence.ratio < 0.95:
            short.append(name)
    if short:
        sys.stdout.write(f"less than 95 % of the throughput before: {', '.join(short)}\n")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
