"""What the processes of a fleet say of themselves, and what the database says of them."""

from tests.support.cluster import Fleet
from tests.support.server import Server
from tests.support.waiting import until

# After so much silence a process is given up.
LEASE_S = 8.0

# A lease, two beats, and what a busy machine adds.
TAKEN_OVER_WITHIN_S = 25.0

_HELD = "SELECT n.epoch, count(*) FROM node AS n JOIN shard AS s ON s.epoch = n.epoch GROUP BY n.epoch"


def shared_out(fleet: Fleet, senders: int) -> None:
    """Waits until so many share all of the shards, none with more than one beyond another's."""

    def look() -> bool:
        held = [n for _, n in fleet.query(_HELD)]
        return len(held) == senders and sum(held) == 256 and max(held) - min(held) <= 1

    until(look, lambda: f"{senders} that share; {fleet.query(_HELD)}\n{fleet.log_tail()}", TAKEN_OVER_WITHIN_S)


def figure(process: Server, name: str) -> float:
    """One of a process's own metrics."""
    text = process.operator.call("GET", "/metrics").body.decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))


def said(process: Server, event: str) -> list[str]:
    """The lines of its log that tell of an event."""
    return [line for line in process.log.read_text(errors="replace").splitlines() if f" {event}" in line]
