"""An account of campaigns and offers, without a store: told what happens, it says what occurred."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from tests.triggers.deciding import Memory, activity, instant
from tocsin.triggers import rules
from tocsin.triggers.decide import decide
from tocsin.triggers.occurrences import Occurrence
from tocsin.triggers.rules import campaigns, offers
from tocsin.triggers.rules.campaigns import Campaign, CampaignEdit
from tocsin.triggers.rules.offers import OfferEdit

NOON = "2026-03-14T12:00:00Z"
OFFER = {"id": "o1"}


class Account(Memory):
    """An account, told what happens."""

    def post(self, kind: str, at: str | int = NOON, **data: Any) -> list[Occurrence]:
        posted = activity(kind, at, **data)
        return list(self.apply(lambda ctx: decide(ctx, posted)))

    def convert(self, id_: str | int = "c1", at: str | int = NOON, **data: Any) -> list[Occurrence]:
        data = {"payout": Decimal("45.00"), "currency": "USD", **data}
        return self.post("conversion", at, conversion_id=id_, **data)

    def offer(self, id_: str = "o1", at: str | int = NOON, **edit: Any) -> None:
        self.apply(lambda ctx: offers.configure(ctx, id_, OfferEdit(name="Shoes", **edit), instant(at)))

    def campaign(self, id_: str = "k", at: str | int = NOON, **edit: Any) -> list[Occurrence]:
        whole = CampaignEdit(name="Spring", **edit)
        return list(self.apply(lambda ctx: campaigns.configure(ctx, id_, whole, instant(at))))

    def spend(self, amount: str | int, at: str | int = NOON, **data: Any) -> list[Occurrence]:
        return self.post("spend", at, **{"campaign": {"id": "k"}, "amount": Decimal(amount), **data})

    def known(self, id_: str = "k") -> Campaign:
        found: Campaign = self.get(f"campaign:{id_}", Campaign)
        return found

    def until(self, then: str) -> list[Occurrence]:
        return self.wait_until(then, dict(rules.TICKS))

    def get(self, key: str, shape: type[Any]) -> Any:
        found: list[Any] = []
        self.apply(lambda ctx: found.append(ctx.state.get(key, shape)))
        return found[-1]


def names(found: Sequence[Occurrence]) -> list[str]:
    return [occurrence.name for occurrence in found]
