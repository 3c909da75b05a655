"""What people configure: accounts, keys, event types, webhooks; the same whichever way it is asked.

Promises: what is kept was checked, is bounded, audited, and in force for what comes after the answer. Leaves out: how
it was asked (api, cli) and what happens to events (engine).
"""

from dataclasses import dataclass
from typing import Self

from tocsin.clock import Clock
from tocsin.control.accounts import AccountControl
from tocsin.control.alerts import AlertControl
from tocsin.control.campaigns import CampaignControl
from tocsin.control.consent import Consent
from tocsin.control.digests import DigestControl
from tocsin.control.event_types import EventTypeControl
from tocsin.control.keyring import Keyring
from tocsin.control.keys import KeyControl
from tocsin.control.postback_tokens import PostbackTokenControl
from tocsin.control.readers import ReaderControl
from tocsin.control.visitors import VisitorControl
from tocsin.control.webhooks import WebhookControl
from tocsin.engine.activity.activities import Activities
from tocsin.engine.activity.openings import Openings
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.directory import Directory
from tocsin.engine.dispatching.lane_settings import LaneSettings
from tocsin.engine.health import Outbox
from tocsin.engine.sending.resolver import Resolver
from tocsin.ids import IdSource
from tocsin.security.guard import Guard
from tocsin.security.links import Links
from tocsin.security.vault import Vault
from tocsin.store.port import Store

__all__ = ["Control"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """All of it, wired."""

    accounts: AccountControl
    keys: KeyControl
    keyring: Keyring
    event_types: EventTypeControl
    webhooks: WebhookControl
    readers: ReaderControl
    digests: DigestControl
    visitors: VisitorControl
    alerts: AlertControl
    trade: CampaignControl
    postback_tokens: PostbackTokenControl

    @classmethod
    def of(
        cls,
        *,
        store: Store,
        vault: Vault,
        guard: Guard,
        resolver: Resolver,
        directory: Directory,
        lane_settings: LaneSettings,
        bell: Bell,
        openings: Openings,
        activities: Activities,
        keyring: Keyring,
        outbox: Outbox,
        links: Links,
        clock: Clock,
        id_source: IdSource,
    ) -> Self:
        consent = Consent(outbox, bell, clock)
        webhooks = WebhookControl(
            webhooks=store.webhooks,
            records=store.records,
            vault=vault,
            guard=guard,
            resolver=resolver,
            directory=directory,
            lane_settings=lane_settings,
            bell=bell,
            clock=clock,
            id_source=id_source,
            consent=consent,
        )
        keys = KeyControl(keys=store.keys, keyring=keyring, clock=clock, id_source=id_source)
        return cls(
            accounts=AccountControl(
                accounts=store.accounts,
                keys=keys,
                keyring=keyring,
                directory=directory,
                bell=bell,
                openings=openings,
                clock=clock,
                id_source=id_source,
            ),
            keys=keys,
            postback_tokens=PostbackTokenControl(keys=store.keys, control=keys, keyring=keyring),
            keyring=keyring,
            event_types=EventTypeControl(catalogue=store.catalogue, directory=directory, bell=bell, clock=clock),
            trade=CampaignControl(activities=activities, triggers=store.triggers, clock=clock),
            visitors=VisitorControl(erasure=store.erasure, clock=clock),
            webhooks=webhooks,
            digests=DigestControl(digests=store.digests, records=store.records, directory=directory),
            readers=ReaderControl(
                control=webhooks,
                webhooks=store.webhooks,
                accounts=store.accounts,
                consent=consent,
                links=links,
                clock=clock,
            ),
            alerts=AlertControl(activities=activities, clock=clock, id_source=id_source),
        )
