"""What a digest stands for, to be shown to whoever got it: its counts, and the events that were folded into it."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from tocsin import ids
from tocsin.channels import wording
from tocsin.channels.digest import digest_message
from tocsin.channels.message import Message
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import ChatOptions
from tocsin.clock import Millis
from tocsin.engine.directory import AccountView, Directory
from tocsin.errors import NotFound
from tocsin.model import DIGEST_TYPE, Delivery, EventId
from tocsin.profiles.masking import mask_ips
from tocsin.security.links import Grant
from tocsin.store.port import DeliveryFilter, Digests, Page, Records

MAX_MEMBERS = 250  # as in any list of the API
_SHOWN = ("campaign", "campaign_id", "payout", "loss", "currency")


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One event that was folded, in words. Without `campaign` and `amount`, where they are not known (any more)."""

    at: str
    what: str
    campaign: str = ""
    amount: str = ""


class DigestPage(msgspec.Struct, frozen=True, kw_only=True):
    """`message`: as it was sent; `more`: there are members beyond `members`, the newest ones."""

    message: Message
    members: tuple[Member, ...]
    more: bool


class DigestControl:
    def __init__(self, *, digests: Digests, records: Records, directory: Directory) -> None:
        self._digests = digests
        self._records = records
        self._directory = directory

    async def page(self, grant: Grant) -> DigestPage:
        """Raises `NotFound` where it, or its account, is no longer there."""
        view = await self._directory.fresh(grant.account_id)
        event = await self._records.event(grant.account_id, EventId(grant.subject))
        where = DeliveryFilter(event_id=EventId(grant.subject))
        deliveries, _ = await self._records.deliveries(grant.account_id, where, Page(limit=1))
        if event is None or event.type != DIGEST_TYPE or event.data is None or not deliveries:
            raise NotFound("there is no such digest")
        delivery = deliveries[0]
        options = _options(view, delivery)
        members = await self._digests.members(grant.account_id, delivery.id, Page(limit=MAX_MEMBERS))
        occasion = Occasion(
            event_id=ids.show("evt_", event.id),
            type=event.type,
            timestamp=event.timestamp,
            data=orjson.loads(mask_ips(event.data)),
            profile=view.profile,
            account_name=view.account.name,
        )
        return DigestPage(
            message=digest_message(occasion, options, "email"),
            members=tuple([await self._member(view, one, options.locale) for one in members[:MAX_MEMBERS]]),
            more=len(members) > MAX_MEMBERS,
        )

    async def _member(self, view: AccountView, delivery: Delivery, locale: str) -> Member:
        messages = view.profile.messages
        event = await self._records.event(delivery.account_id, delivery.event_id)
        at = Millis(ids.made_at_ms(delivery.event_id)) if event is None else event.timestamp
        details: Mapping[str, Any] = {}
        if event is not None and event.data is not None:
            details = messages.details(event.type, orjson.loads(mask_ips(event.data)), _SHOWN)
        return Member(
            at=f"{datetime.fromtimestamp(at / 1000, view.zone):%Y-%m-%d %H:%M:%S}",
            what=messages.label(delivery.type),
            campaign=wording.words(str(details.get("campaign", details.get("campaign_id", "")))),
            amount=_amount(details, locale),
        )


def _options(view: AccountView, delivery: Delivery) -> ChatOptions:
    hook = view.webhooks.get(delivery.webhook_id)
    return ChatOptions() if hook is None or hook.target.chat is None else hook.target.chat.options


def _amount(details: Mapping[str, Any], locale: str) -> str:
    for name, suffix in (("payout", ""), ("loss", " lost")):
        amount = details.get(name)
        if isinstance(amount, Decimal | int):
            return wording.money(Decimal(amount), details.get("currency"), locale) + suffix
    return ""
