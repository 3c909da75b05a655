"""Offers, campaigns and partners: what triggers need to know of them beforehand, set whole."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Annotated, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from tocsin.clock import Clock, Millis
from tocsin.control.actor import Actor
from tocsin.control.values import Line, Name, check_timezone
from tocsin.engine.activity.activities import Activities
from tocsin.errors import Fault, Invalid, NotFound
from tocsin.model import AccountId
from tocsin.store.port import Triggers
from tocsin.triggers.amounts import BadAmount
from tocsin.triggers.amounts import amount as checked
from tocsin.triggers.context import Context
from tocsin.triggers.rules import campaigns, offers, partners
from tocsin.triggers.rules.campaigns import DEFAULT_PERCENTS, Campaign, CampaignEdit
from tocsin.triggers.rules.offers import Offer, OfferEdit
from tocsin.triggers.rules.partners import Partner, PartnerEdit
from tocsin.triggers.shapes import Amount, Currency

_MAX_ID = 256  # as activities have them

# A conversion is held to be checked; networks do so for a month or two, and nobody for more than a year.
Hold = Annotated[int, Meta(ge=0, le=31_622_400, description="seconds for which what is pending waits to be approved")]
Cap = Annotated[int, Meta(ge=1, le=1_000_000_000)]
# Beyond 100 for who wants to know how far a campaign overspends.
Percents = Annotated[tuple[Annotated[int, Meta(ge=1, le=200)], ...], Meta(max_length=20)]
Zone = Annotated[str, Meta(max_length=64, description="IANA name; null: the account's", examples=["Europe/Berlin"])]


class Caps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many conversions in each window; a window that is left out has no cap."""

    daily: Cap | None = None
    weekly: Cap | None = None
    monthly: Cap | None = None
    global_: Cap | None = msgspec.field(default=None, name="global")

    def limits(self) -> dict[str, int]:
        return {name: limit for name, limit in msgspec.to_builtins(self).items() if limit is not None}


class OfferPut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`payout`: of a conversion that says none. `default_status`: of one that says none; null: `pending` if there is a
    hold time, else `approved`.
    """

    name: Name
    payout: Amount | None = None
    hold_s: Hold | None = None
    default_status: Literal["pending", "approved"] | None = None
    timezone: Zone | None = None
    caps: Caps = Caps()

    def edit(self) -> OfferEdit:
        """Raises `Invalid`."""
        return OfferEdit(
            name=self.name,
            payout=_amount(self.payout, "/payout"),
            hold_s=self.hold_s,
            default_status=self.default_status,
            timezone=_zone(self.timezone),
            caps=self.caps.limits(),
        )


class CampaignPut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`alert_percents`: of the total and of the daily budget. `currency`: of all amounts; null: as it is, or the first
    that is spent.
    """

    name: Name
    budget: Amount | None = None
    daily_budget: Amount | None = None
    alert_percents: Percents = DEFAULT_PERCENTS
    timezone: Zone | None = None
    currency: Currency | None = None

    def edit(self) -> CampaignEdit:
        """Raises `Invalid`."""
        return CampaignEdit(
            name=self.name,
            budget=_amount(self.budget, "/budget"),
            daily_budget=_amount(self.daily_budget, "/daily_budget"),
            alert_percents=tuple(sorted(set(self.alert_percents))),
            timezone=_zone(self.timezone),
            currency=None if self.currency is None else self.currency.upper(),
        )


class PartnerPut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`status` null: as it is."""

    name: Name
    status: Literal["applied", "approved", "banned"] | None = None
    reason: Line | None = None

    def edit(self) -> PartnerEdit:
        return PartnerEdit(name=self.name, status=self.status, reason=self.reason)


T = TypeVar("T", bound=msgspec.Struct)
E = TypeVar("E", bound=msgspec.Struct)


class Known(Generic[T, E]):
    """One noun's: what is remembered under ``<noun>:<id>``, set by its rule."""

    def __init__(
        self,
        noun: str,
        shape: type[T],
        configure: Callable[[Context, str, E, Millis], T],
        *,
        activities: Activities,
        triggers: Triggers,
        clock: Clock,
    ) -> None:
        self._noun = noun
        self._shape = shape
        self._configure = configure
        self._activities = activities
        self._triggers = triggers
        self._clock = clock

    async def get(self, account_id: AccountId, id_: str) -> T:
        """Raises `NotFound`."""
        key = f"{self._noun}:{_checked(id_)}"
        found = (await self._activities.look(account_id, key)).get(key, self._shape)
        if found is None:
            raise NotFound(f"no {self._noun} of that id was set, or mentioned by an activity")
        return found

    async def list(self, account_id: AccountId, after: str, limit: int) -> Sequence[tuple[str, T]]:
        """By id, beyond `after`."""
        prefix = f"{self._noun}:"
        rows = await self._triggers.scan(account_id, prefix, prefix + after if after else "", limit)
        return [(key.removeprefix(prefix), msgspec.msgpack.decode(value, type=self._shape)) for key, value in rows]

    async def put(self, actor: Actor, account_id: AccountId, id_: str, edit: E) -> T:
        """What it is now, with all that was fired durable. Raises `Invalid`."""
        now = self._clock.now_ms()
        known_as = _checked(id_)
        detail = msgspec.to_builtins(edit)
        if detail.get("reason") is not None:
            detail["reason"] = "given"  # free text, about people
        audit = actor.change(now, f"{self._noun}.set", f"{self._noun}:{known_as}", **detail)
        return await self._activities.configure(
            account_id, lambda ctx: self._configure(ctx, known_as, edit, now), audit
        )


class CampaignControl:
    def __init__(self, *, activities: Activities, triggers: Triggers, clock: Clock) -> None:
        self.offers: Known[Offer, OfferEdit] = Known(
            "offer", Offer, offers.configure, activities=activities, triggers=triggers, clock=clock
        )
        self.campaigns: Known[Campaign, CampaignEdit] = Known(
            "campaign", Campaign, campaigns.configure, activities=activities, triggers=triggers, clock=clock
        )
        self.partners: Known[Partner, PartnerEdit] = Known(
            "partner", Partner, partners.configure, activities=activities, triggers=triggers, clock=clock
        )


def _checked(id_: str) -> str:
    if not 1 <= len(id_) <= _MAX_ID or not id_.isprintable():
        raise NotFound(f"such an id has 1 to {_MAX_ID} characters, and no control characters")
    return id_


def _amount(amount: Decimal | None, pointer: str) -> Decimal | None:
    if amount is None:
        return None
    try:
        shortest = checked(amount)
        exponent = amount.as_tuple().exponent
        return amount if isinstance(exponent, int) and exponent <= 0 else shortest  # "45.00" as it came; 1e2 as 100
    except BadAmount as error:
        raise Invalid("an amount does not fit", faults=[Fault(pointer, str(error))]) from None


def _zone(name: str | None) -> str | None:
    if name is not None:
        check_timezone(name)
    return name
