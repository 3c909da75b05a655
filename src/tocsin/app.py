"""The composition root: the only place where concrete parts meet, and where they begin and end.

A process has the same parts whatever its role is. The role says which of them begin:

    all      everything
    api      what answers requests: events and activity are taken and committed, tests and manual retries are sent
    worker   what sends: it takes shards, and where it has the first one, it makes the rounds
"""

import asyncio
import contextlib
import logging
import os
import socket
from functools import partial

from tocsin import databases, profiles
from tocsin.api.asgi import make_asgi
from tocsin.api.services import Services
from tocsin.clock import Clock, CorrectedClock, SystemClock
from tocsin.config import Settings
from tocsin.control import Control
from tocsin.control.keyring import Keyring
from tocsin.engine.activity.activities import Activities
from tocsin.engine.activity.backtest import Backtests
from tocsin.engine.activity.knowledge_watch import KnowledgeWatch
from tocsin.engine.activity.openings import Openings
from tocsin.engine.activity.timers import Timers
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.cluster.changes import Changes
from tocsin.engine.cluster.membership import Membership
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.departures import Departures
from tocsin.engine.directory import Directory
from tocsin.engine.dispatching.dispatcher import Dispatcher
from tocsin.engine.fanout import FanOut
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.health import Caretaker
from tocsin.engine.ingest import Ingest
from tocsin.engine.janitor import Janitor
from tocsin.engine.mail.door import MailDoor
from tocsin.engine.mail.mailer import Mailer
from tocsin.engine.manual import Manual
from tocsin.engine.rounds import Rounds
from tocsin.engine.sending.doors import Doors
from tocsin.engine.sending.resolver import Resolver
from tocsin.engine.sending.sender import Sender
from tocsin.engine.settler import Settler
from tocsin.engine.strays import Strays
from tocsin.ids import IdSource
from tocsin.installation import check_key_fits, mail_server, missing_profiles
from tocsin.security.guard import Guard
from tocsin.security.links import Links
from tocsin.security.vault import Vault
from tocsin.store.port import Store
from tocsin.telemetry import Metrics
from tocsin.triggers import firing
from tocsin.triggers.knowledge import Knowledge
from tocsin.triggers.normalise import normalise

log = logging.getLogger(__name__)

# After attempts have ended, a stop takes this long at most to write down what became of them and to say goodbye, where
# the database does not answer: with `drain_s` at its default that makes less than 35 s.
_SETTLE_S = 1.5
_GOODBYES_S = 2.5


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
        self.directory = Directory(store.snapshots, vault, links, store.accounts if store.cluster.shared else None)
        self.bell = bell = Bell(store.news, clock, shared=store.cluster.shared)
        self.settler = Settler(store.journal, clock, metrics)
        self.mailer = Mailer(
            door=mail_door,
            notices=store.notices,
            accounts=store.accounts,
            webhooks=store.webhooks,
            tenure=tenure,
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
            bell=bell,
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
                id_source=id_source,
                clock=clock,
                metrics=metrics,
            ),
            tenure=tenure,
            bell=bell,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
            retry_scale=settings.retry_scale,
        )
        self.strays = Strays(
            journal=store.journal, dispatcher=self.dispatcher, settler=self.settler, tenure=tenure, clock=clock
        )
        self.manual = Manual(
            journal=store.journal,
            records=store.records,
            directory=self.directory,
            dispatcher=self.dispatcher,
            settler=self.settler,
            bell=bell,
            caretaker=self.caretaker,
            sender=self.doors,
            tenure=tenure,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
        )
        self.fan_out = FanOut(
            journal=store.journal,
            records=store.records,
            webhooks=store.webhooks,
            dispatcher=self.dispatcher,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
        )
        departures = Departures(dispatcher=self.dispatcher, bell=bell, id_source=id_source, metrics=metrics)
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
            bell=bell,
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
        self.rounds = Rounds(self.timers, self.openings, self.janitor, self.fan_out, self.mailer)
        self.membership = Membership(
            cluster=store.cluster,
            tenure=tenure,
            dispatcher=self.dispatcher,
            bell=bell,
            clock=clock,
            id_source=id_source,
            metrics=metrics,
            name=f"{socket.gethostname()}, process {os.getpid()}",
            sends=settings.sends,
            on_chief=self._chief,
        )
        self.changes = Changes(
            accounts=store.accounts,
            directory=self.directory,
            settings=self.dispatcher.lane_settings,
            clock=clock,
        )
        bell.attach(
            views=self.directory,
            lanes=self.dispatcher,
            settings=self.dispatcher.lane_settings,
            turns=self.dispatcher.turns,
            backlogs=self.dispatcher.backlogs,
            jobs=self.fan_out,
            mail=self.mailer,
            timers=self.timers,
            members=self.membership,
        )
        self.keyring = Keyring(store.keys, clock)
        self.control = Control.of(
            store=store,
            vault=vault,
            guard=self.guard,
            resolver=self.resolver,
            directory=self.directory,
            lane_settings=self.dispatcher.lane_settings,
            bell=bell,
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
            manual=self.manual,
            control=self.control,
            tenure=tenure,
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
        metrics.watch("tocsin_chief", lambda: self.rounds.running)

    async def start(self) -> None:
        self.settler.start()
        if self.settings.sends:
            self.dispatcher.start()
        self.activities.start()  # before there is a round that gives them something to do
        self.knowledge_watch.start()
        await self.bell.start()
        if self.store.cluster.shared:
            self.changes.start()
        await self.membership.start()
        self.strays.start()
        if self.settings.serves_api:
            self.made_operator_key = await self.control.keys.ensure_operator_key(self.settings.admin_key)
            await self.keyring.start()
            self.ingest.start()

    async def _chief(self, is_chief: bool) -> None:  # noqa: FBT001 - its only word
        if is_chief:
            self.rounds.start()
        else:
            await self.rounds.stop()

    async def close(self, asked_s: float = 0.0) -> None:
        """Takes nothing more in, finishes what is under way within `drain_s`, and lets the database go.

        Args:
            asked_s: how long ago it was asked to end: that much of `drain_s` is over.
        """
        log.info("server_stopping", extra={"drain_s": self.settings.drain_s})
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.settings.drain_s - asked_s
        await self.rounds.stop()
        await self.ingest.stop()
        await self.activities.stop()
        await self.knowledge_watch.stop()
        await self.strays.stop()
        drain_s = max(0.0, until_s - loop.time())
        await asyncio.gather(self.membership.drain(drain_s), self.manual.stop(drain_s))
        await self.doors.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GOODBYES_S):
                await self.manual.stop(_SETTLE_S)  # what was cut off is written down too
                await self.settler.stop(_SETTLE_S)
                await self.caretaker.stop()
                await self.keyring.close()
                await self.changes.stop()
                await self.membership.stop()
                await self.bell.stop()
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
    clock = clock or CorrectedClock(SystemClock())  # a clock that is given is right
    store = await databases.open_store(settings, clock)
    try:
        vault = Vault(databases.secret_key(settings))
        await check_key_fits(store, vault)
        for profile, accounts in missing_profiles(await store.accounts.profiles()).items():
            log.warning("profile_missing", extra={"profile": profile, "accounts": accounts})
        app = App(settings, store, vault, clock, Metrics())
    except BaseException:
        await store.close()
        raise
    try:
        await app.start()
    except BaseException:
        await app.close()
        raise
    return app
