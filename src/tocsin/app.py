"""The composition root: the only place where concrete parts meet, and where they begin and end."""

import asyncio
import contextlib
import gc
import logging
import math
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import msgspec
import uvicorn
import uvloop

from tocsin import __version__, databases, profiles
from tocsin.api.asgi import make_asgi
from tocsin.api.services import Services
from tocsin.clock import Clock, SystemClock
from tocsin.config import Settings
from tocsin.control import Control
from tocsin.control.keyring import Keyring
from tocsin.engine.activity.activities import Activities
from tocsin.engine.activity.backtest import Backtests
from tocsin.engine.activity.knowledge_watch import KnowledgeWatch
from tocsin.engine.activity.openings import Openings
from tocsin.engine.activity.timers import Timers
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.departures import Departures
from tocsin.engine.directory import Directory
from tocsin.engine.dispatcher import Dispatcher
from tocsin.engine.fanout import FanOut
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.health import Caretaker
from tocsin.engine.ingest import Ingest
from tocsin.engine.janitor import Janitor
from tocsin.engine.mail.door import MailDoor
from tocsin.engine.mail.mailer import Mailer
from tocsin.engine.mail.server import MailServer
from tocsin.engine.manual import Manual
from tocsin.engine.sending.doors import Doors
from tocsin.engine.sending.resolver import Resolver
from tocsin.engine.sending.sender import Sender
from tocsin.engine.settler import Settler
from tocsin.errors import Misconfigured
from tocsin.ids import IdSource
from tocsin.security.guard import Guard
from tocsin.security.links import Links
from tocsin.security.vault import Vault
from tocsin.shards import ALL
from tocsin.store.port import SchemaStatus, Store
from tocsin.telemetry import Metrics
from tocsin.triggers import firing
from tocsin.triggers.knowledge import Knowledge
from tocsin.triggers.normalise import normalise

log = logging.getLogger(__name__)

_VAULT_META = "vault_fingerprint"
_SETTLE_S = 5.0  # a stop waits this long for outcomes to be written, after attempts have ended
_OPEN_FILES = 65_536  # a connection each, to receivers and from publishers


class App:
    """Everything that one process runs, started; `close` ends it in the order that loses nothing."""

    def __init__(self, settings: Settings, store: Store, vault: Vault, clock: Clock, metrics: Metrics) -> None:
        networks = settings.networks()
        id_source = IdSource(clock)
        self.tenure = tenure = Tenure()
        self.settings = settings
        self.store = store
        self.metrics = metrics
        self.guard = Guard(settings.allow_http, networks)
        self.resolver = Resolver([one.strip() for one in settings.dns_servers.split(",") if one.strip()] or None)
        links = Links(vault.derive("links"), settings.public_url)
        mail_door = MailDoor(mail_server(settings), clock)
        self.doors = Doors(Sender(self.guard, self.resolver, ca_file=settings.ca_file), mail_door)
        self.directory = Directory(store.snapshots, vault, links)
        self.settler = Settler(store.journal, tenure, clock, metrics)
        self.mailer = Mailer(
            door=mail_door,
            notices=store.notices,
            accounts=store.accounts,
            webhooks=store.webhooks,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
            public_url=settings.public_url,
            links=links,
        )
        self.caretaker = Caretaker(
            journal=store.journal,
            records=store.records,
            webhooks=store.webhooks,
            directory=self.directory,
            outbox=self.mailer,
            tell=lambda webhook: self.dispatcher.webhook_changed(webhook),  # noqa: PLW0108 - made below
            stored=lambda *delivery: self.dispatcher.stored(*delivery),  # noqa: PLW0108 - made below
            vault=vault,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
        )
        self.dispatcher = Dispatcher(
            journal=store.journal,
            directory=self.directory,
            sender=self.doors,
            settler=self.settler,
            caretaker=self.caretaker,
            gatherer=Gatherer(
                digests=store.digests,
                journal=store.journal,
                directory=self.directory,
                tenure=tenure,
                id_source=id_source,
                clock=clock,
                metrics=metrics,
            ),
            tenure=tenure,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
            retry_scale=settings.retry_scale,
        )
        self.manual = Manual(
            journal=store.journal,
            records=store.records,
            directory=self.directory,
            dispatcher=self.dispatcher,
            caretaker=self.caretaker,
            sender=self.doors,
            tenure=tenure,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
        )
        fan_out_wake = asyncio.Event()
        self.fan_out = FanOut(
            journal=store.journal,
            records=store.records,
            webhooks=store.webhooks,
            dispatcher=self.dispatcher,
            wake=fan_out_wake,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
        )
        departures = Departures(
            dispatcher=self.dispatcher, fan_out_wake=fan_out_wake, id_source=id_source, metrics=metrics
        )
        self.ingest = Ingest(
            journal=store.journal,
            directory=self.directory,
            departures=departures,
            tenure=tenure,
            clock=clock,
            metrics=metrics,
        )
        knowledge = Knowledge(settings.knowledge_sources())
        self.knowledge_watch = KnowledgeWatch(knowledge)
        self.activities = Activities(
            triggers=store.triggers,
            directory=self.directory,
            departures=departures,
            complete=partial(normalise, knowledge=knowledge),
            ready=self.knowledge_watch.ready,
            firing=firing.load,
            tenure=tenure,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
        )
        self.timers = Timers(triggers=store.triggers, activities=self.activities, clock=clock, metrics=metrics)
        self.openings = Openings(
            accounts=store.accounts,
            triggers=store.triggers,
            activities=self.activities,
            firing=firing.load,
            clock=clock,
        )
        self.janitor = Janitor(
            store.housekeeping,
            clock,
            body_days=settings.body_days,
            attempt_days=settings.attempt_days,
            dedupe_days=settings.dedupe_days,
        )
        self.keyring = Keyring(store.keys, clock)
        self.control = Control.of(
            store=store,
            vault=vault,
            guard=self.guard,
            resolver=self.resolver,
            directory=self.directory,
            dispatcher=self.dispatcher,
            openings=self.openings,
            activities=self.activities,
            keyring=self.keyring,
            outbox=self.mailer,
            links=links,
            clock=clock,
            id_source=id_source,
        )
        self.services = Services(
            settings=settings,
            clock=clock,
            id_source=id_source,
            store=store,
            directory=self.directory,
            ingest=self.ingest,
            activities=self.activities,
            backtests=Backtests(triggers=store.triggers, records=store.records, directory=self.directory, clock=clock),
            dispatcher=self.dispatcher,
            manual=self.manual,
            control=self.control,
            metrics=metrics,
        )
        self.asgi = make_asgi(self.services)
        self.made_operator_key: str | None = None
        self._clock = clock
        metrics.watch("tocsin_ingest_queue", lambda: self.ingest.waiting)
        metrics.watch("tocsin_activity_queue", lambda: self.activities.waiting)
        metrics.watch("tocsin_attempts_in_flight", lambda: self.dispatcher.in_flight)
        metrics.watch("tocsin_settle_queue", lambda: self.settler.waiting)
        metrics.watch("tocsin_lanes", lambda: self.dispatcher.lanes)

    async def start(self) -> None:
        self.made_operator_key = await self.control.keys.ensure_operator_key(self.settings.admin_key)
        now = self._clock.now_ms()
        node = await self.store.cluster.join(name=socket.gethostname(), sends=True, now=now, bury_before=now)
        self.tenure.epoch, self.tenure.shards, self.tenure.until_s = node.epoch, ALL, math.inf
        await self.keyring.start()
        self.settler.start()
        self.mailer.start()
        await self.dispatcher.start()
        self.fan_out.start()
        self.ingest.start()
        self.activities.start()
        self.timers.start()
        self.openings.start()
        self.janitor.start()
        self.knowledge_watch.start()

    async def close(self) -> None:
        """Takes nothing more in, finishes what is under way within `drain_s`, and lets the database go."""
        log.info("server_stopping", extra={"drain_s": self.settings.drain_s})
        await self.openings.stop()
        await self.timers.stop()
        await self.ingest.stop()
        await self.activities.stop()
        await self.janitor.stop()
        await self.knowledge_watch.stop()
        await self.fan_out.stop()
        await self.mailer.stop()  # before the doors are shut, which the dispatcher does
        await self.dispatcher.stop(self.settings.drain_s)
        await self.manual.stop()
        await self.settler.stop(_SETTLE_S)
        await self.caretaker.stop()
        await self.keyring.close()
        await self.resolver.close()
        await self.store.close()
        log.info("server_stopped")


async def open_app(settings: Settings, clock: Clock | None = None) -> App:
    """Opens the store, checks that the key of the secrets fits it, and starts every part.

    Raises:
        Misconfigured: a setting, the database or the key is wrong; the sentence says how to mend it.
    """
    profiles.also_from(settings.profiles_folder())
    for name in profiles.names():
        firing.load(profiles.load(name))  # what cannot be stops the start
    clock = clock or SystemClock()
    store = await databases.open_store(settings, clock)
    try:
        vault = Vault(databases.secret_key(settings))
        await _check_key_fits(store, vault)
        for profile, accounts in _missing(await store.accounts.profiles()).items():
            log.warning("profile_missing", extra={"profile": profile, "accounts": accounts})
        app = App(settings, store, vault, clock, Metrics())
        await app.start()
    except BaseException:
        await store.close()
        raise
    return app


def mail_server(settings: Settings) -> MailServer | None:
    """Raises `Misconfigured` where the setting cannot be understood."""
    if settings.smtp_url is None:
        return None
    return MailServer(settings.smtp_url, settings.smtp_ca_file or settings.ca_file)


async def _check_key_fits(store: Store, vault: Vault) -> None:
    known = await store.housekeeping.meta(_VAULT_META)
    if known is None:
        await store.housekeeping.set_meta(_VAULT_META, vault.fingerprint)
    elif known != vault.fingerprint:
        raise Misconfigured(
            "TOCSIN_SECRET_KEY (or the .key file beside the database) is not the key that this database's secrets "
            "were encrypted with; bring that key back"
        )


def _missing(in_use: Mapping[str, int]) -> Mapping[str, int]:
    known = profiles.names()
    return {name: accounts for name, accounts in in_use.items() if name not in known}


class Examination(msgspec.Struct, frozen=True):
    """What `examine` found. `schema` None: there is no database yet; `key_fits` None: it has no secrets yet;
    `profiles_missing`: how many accounts have a profile that is not there.
    """

    schema: SchemaStatus | None
    faults: Sequence[str] = ()
    key_fits: bool | None = None
    profiles_missing: Mapping[str, int] = {}


async def examine(settings: Settings, key: bytes | None) -> Examination:
    """Looks at the database without changing it, also beside a server that runs.

    Args:
        key: of the secrets, where there is one.

    Raises:
        Misconfigured: it is no database of ours, or a newer program's, or cannot be reached.
    """
    schema = await databases.schema_status(settings)
    if schema.found != schema.newest:
        return Examination(schema if schema.found else None)
    store = await databases.open_store(settings, SystemClock(), readonly=True)
    try:
        known = await store.housekeeping.meta(_VAULT_META)
        fits = None if known is None else key is not None and Vault(key).fingerprint == known
        missing = _missing(await store.accounts.profiles())
        return Examination(schema, await store.housekeeping.check(), fits, missing)
    finally:
        await store.close()


def schema_status(settings: Settings) -> SchemaStatus:
    """Raises `Misconfigured` where it is no database of ours, or a newer program's."""
    return asyncio.run(databases.schema_status(settings))


def migrate(settings: Settings) -> Sequence[str]:
    """Brings the database's schema up to date; which migrations were applied.

    Raises:
        Misconfigured: as `schema_status`; or a server has it open.
    """
    return asyncio.run(databases.migrate(settings))


def serve(settings: Settings) -> int:
    """Runs the server until SIGTERM or SIGINT; the exit code."""
    _allow_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    listening = _listen(settings.host, settings.port)
    listening.setblocking(False)
    host, port = listening.getsockname()[:2]
    app = await open_app(settings)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _announce(app, address)
    _spare_the_collector()
    server = _Server(
        uvicorn.Config(
            app.asgi,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
    )
    try:
        await server.serve(sockets=[listening])
    finally:
        await app.close()
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host} port {port}: {error.strerror}; choose others with --host and --port"
        ) from None


class _Server(uvicorn.Server):
    """uvicorn, but for its signals: a second one must not cut short what `App.close` still writes down."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _announce(app: App, address: str) -> None:
    settings = app.settings
    log.info("server_started", extra={"address": address, "db": settings.db_shown, "version": __version__})
    said = f"Tocsin {__version__} at {address}\n"
    if app.made_operator_key is not None:
        said += f"The operator's key, shown this once: {app.made_operator_key}\n"
    sys.stderr.write(said)  # at once: who waits for the first line finds the second
    if settings.retry_scale != 1:
        log.warning("retries_scaled", extra={"scale": settings.retry_scale})
    if settings.allow_http or settings.allow_networks:
        opened = {"allow_http": settings.allow_http, "allow_networks": settings.allow_networks}
        log.warning("guard_opened", extra=opened)
    if settings.cue_trust_user_id:
        log.warning("user_ids_trusted", extra={"proxies": settings.trusted_proxies})
    sys.stderr.flush()


def _spare_the_collector() -> None:
    """Nearly everything here dies by its reference count. The cycle collector still looks at each young object again
    and again; looking a tenth as often, and never at what was there at the start, is a tenth of the time of an event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _allow_open_files() -> None:
    """Every attempt under way is an open file; most systems start a process with 1,024 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
