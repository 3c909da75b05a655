"""Alerts: what an account wants to be told of its metrics."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import msgspec
from msgspec import Meta

from tocsin import ids
from tocsin.clock import Clock, Millis
from tocsin.control.actor import Actor
from tocsin.control.values import Name
from tocsin.engine.activity.activities import Activities
from tocsin.errors import Conflict, Fault, Invalid, NotFound
from tocsin.ids import IdSource
from tocsin.model import AccountId
from tocsin.triggers.activity import text_id
from tocsin.triggers.context import Context
from tocsin.triggers.rules import alerts
from tocsin.triggers.rules.alerts import Alert, Alerts, Metric, Op, Watch

# A slot is a sixtieth of the window: at least a second, since activities come with seconds; and a week at most, as the
# state of an alert is as large for every window but nobody waits longer for news.
Window = Annotated[int, Meta(ge=60, le=604_800, description="how far back is measured, in seconds", examples=[3600])]
CoolDown = Annotated[int, Meta(ge=0, le=2_592_000, description="after an alert, none for so many seconds")]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]

# More than any budget, and few enough digits for every reader.
_MAX_THRESHOLD = Decimal(10) ** 12
_MAX_DECIMALS = 6


class NewAlert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`threshold`: a decimal string or a number; rates and ctr in percent. `campaign`: only this one's activity.
    `min_count`: so much must have been counted in the window, or the alert stays silent.
    """

    metric: Metric
    op: Op
    threshold: Decimal
    window_s: Window
    campaign: Annotated[str, Meta(min_length=1, max_length=128)] | int | None = None
    min_count: Count = 0
    cooldown_s: CoolDown = 3_600
    name: Name | None = None

    def alert(self, number: int, now: Millis) -> Alert:
        """Raises `Invalid`."""
        exponent = self.threshold.as_tuple().exponent
        if not isinstance(exponent, int) or not 0 <= self.threshold <= _MAX_THRESHOLD or exponent < -_MAX_DECIMALS:
            detail = f"a number from 0 to {_MAX_THRESHOLD}, with at most {_MAX_DECIMALS} decimals"
            raise Invalid("the threshold does not fit", faults=[Fault("/threshold", detail)])
        return Alert(
            id=ids.show("alr_", number),
            metric=self.metric,
            op=self.op,
            threshold=self.threshold,
            window_s=self.window_s,
            campaign=None if self.campaign is None else text_id(self.campaign),
            min_count=self.min_count,
            cooldown_s=self.cooldown_s,
            name=self.name,
            created_at=now,
        )


class AlertControl:
    def __init__(self, *, activities: Activities, clock: Clock, id_source: IdSource) -> None:
        self._activities = activities
        self._clock = clock
        self._id_source = id_source

    async def create(self, actor: Actor, account_id: AccountId, new: NewAlert) -> Alert:
        """Measures from now on.

        Raises:
            Invalid: the threshold.
            Conflict: `alert_limit`; or `alerts_unsupported`: the account's dialect has no event to tell by.
        """
        alert = new.alert(self._id_source.next(), self._clock.now_ms())

        def add(ctx: Context) -> None:
            if "alert" not in ctx.wanted:
                raise Conflict("the account's profile has no event that an alert could make", code="alerts_unsupported")
            known = ctx.state.get("alerts", Alerts) or Alerts()
            if len(known.items) >= alerts.MOST:
                raise Conflict(f"an account has at most {alerts.MOST} alerts; remove one", code="alert_limit")
            alerts.add(ctx, alert)

        await self._activities.configure(
            account_id, add, actor.change(alert.created_at, "alert.created", alert.id, **msgspec.to_builtins(new))
        )
        return alert

    async def list(self, account_id: AccountId) -> Sequence[tuple[Alert, Watch]]:
        """Newest first, each with what it has measured until now."""
        state = await self._activities.look(account_id, "alerts")
        known = (state.get("alerts", Alerts) or Alerts()).items
        state = await self._activities.look(account_id, *(f"alert:{one.id}" for one in known))
        now = self._clock.now_ms()
        measured = [(one, state.get(f"alert:{one.id}", Watch) or alerts.begin(one)) for one in reversed(known)]
        return [(one, alerts.advance(one, watch, now)[0]) for one, watch in measured]

    async def get(self, account_id: AccountId, number: int) -> tuple[Alert, Watch]:
        """Raises `NotFound`."""
        wanted = ids.show("alr_", number)
        for alert, watch in await self.list(account_id):
            if alert.id == wanted:
                return alert, watch
        raise NotFound("there is no such alert")

    async def remove(self, actor: Actor, account_id: AccountId, number: int) -> None:
        """Raises `NotFound`."""
        id_ = ids.show("alr_", number)
        audit = actor.change(self._clock.now_ms(), "alert.removed", id_)
        if not await self._activities.configure(account_id, lambda ctx: alerts.remove(ctx, id_), audit):
            raise NotFound("there is no such alert")
