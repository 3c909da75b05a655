"""Whether the server lives and can work, and its figures. No key is asked for: nothing here names an account."""

import asyncio
from collections.abc import Mapping
from typing import Literal

import msgspec

from tocsin import __version__
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.config import Role
from tocsin.errors import TocsinError, Unavailable

# Longer than any healthy store takes, shorter than a load balancer waits.
_READY_TIMEOUT_S = 2.0

_PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"

_GAUGES: Mapping[str, str] = {
    "waiting": "tocsin_deliveries_waiting",
    "fan_out_jobs": "tocsin_fan_out_jobs",
    "notices": "tocsin_notices_waiting",
    "file_bytes": "tocsin_store_bytes",
}


class Alive(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ok"] = "ok"
    version: str = __version__
    role: Role


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    status: Literal["ready"] = "ready"


@operation(
    "GET",
    "/healthz",
    access=Access.PUBLIC,
    answers=(Answer(200, Alive, "It lives", {"status": "ok", "version": __version__, "role": "all"}),),
)
async def get_health(call: Call) -> Reply:
    """Whether the process lives."""
    return Reply(200, Alive(role=call.services.settings.role))


@operation(
    "GET",
    "/readyz",
    access=Access.PUBLIC,
    answers=(Answer(200, Ready, "It can work", {"status": "ready"}),),
    problems=("store_unavailable", "not_owner"),
)
async def get_readiness(call: Call) -> Reply:
    """Whether it can work: the store is reachable, its schema is this version's, and the process is known there as one
    of those that work on it.
    """
    services = call.services
    try:
        async with asyncio.timeout(_READY_TIMEOUT_S):
            ready = await services.store.ready()
    except (TocsinError, TimeoutError):
        ready = False
    if not ready:
        raise Unavailable("the store is not reachable, or its schema is another version's", code="store_unavailable")
    if services.tenure.until_s <= services.clock.monotonic_s():
        raise Unavailable("the process was taken for dead, and is about to come back as a new one", code="not_owner")
    return Reply(200, Ready())


@operation(
    "GET",
    "/metrics",
    access=Access.PUBLIC,
    answers=(Answer(200, str, "In the text format of Prometheus", media_type="text/plain"),),
)
async def get_metrics(call: Call) -> Reply:
    """The figures of this process."""
    metrics = call.services.metrics
    try:
        counts = await call.services.store.records.counts()
    except TocsinError:
        counts = {}  # a scrape is worth most when the store is in trouble
    for name, gauge in _GAUGES.items():
        if name in counts:
            metrics.set(gauge, counts[name])
    return Reply(200, metrics.exposition(), content_type=_PROMETHEUS)


OPERATIONS = (get_health, get_readiness, get_metrics)
