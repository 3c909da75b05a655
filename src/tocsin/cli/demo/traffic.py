"""Traffic for the demonstration: the same day in the words of each profile, made of the catalogues' own examples."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tocsin.profiles import Profile

_NAMES = ("Nordwind", "Zürich Métro", "東京 Ads", "Ω-Traffic", "Söder & Söhne", "Кампания 7", "Été 🚀", 'O"Brien\\Co')

# A day, as the catalogues tell it: how often each thing happens, and what the dialects call it. A profile has as much
# of it as it has words for; what only a profile of the user's own knows happens as often as the rarest.
_DAY: Sequence[tuple[int, Sequence[str]]] = (
    (48, ("ad.impression", "impression.created")),
    (40, ("NEW_VISIT", "visit.created")),
    (32, ("ad.click", "click.created", "click.new")),
    (24, ("NEW_VISITOR", "visitor.created")),
    (20, ("ad.conversion", "conversion.created", "conversion.new")),
    (16, ("fraud.high_risk", "high_risk_visitor", "threat.high_risk", "visitor.high_risk")),
    (12, ("conversion.approved",)),
    (12, ("bot.detected",)),
    (12, ("vpn.detected",)),
    (10, ("fraud.detected", "fraud_detected")),
    (8, ("conversion.rejected",)),
    (8, ("cloaker.detected",)),
    (6, ("partner.applied",)),
    (4, ("partner.approved", "partner.banned")),
    (4, ("campaign.created", "campaign.paused", "campaign.resumed", "campaign.updated")),
    (4, ("alert.budget", "budget.threshold")),
)
_SELDOM = 3
_FEW_TYPES = 3  # a catalogue of so many types has one to spare for the receivers that hang or are gone

FEW = 4  # events for the receiver that hangs: fewer than a webhook may have under way from its first delivery on
SINGLE = 60  # so many of an account's events are posted one by one, the others in batches


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    type: str
    data: Any
    external_id: str

    def body(self) -> dict[str, Any]:
        return {"type": self.type, "data": self.data, "external_id": self.external_id}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """One account's traffic, by which webhooks it is for. `first` goes out before `rest`."""

    some_types: tuple[str, ...]  # for the receiver that fails twice
    few_type: str  # for the one that hangs: all of its events are in `first`
    one_type: str  # for the one that is gone: one event in `first`; where there are few types, the same as `few_type`
    first: tuple[Planned, ...]
    rest: tuple[Planned, ...]


def plan(profile: Profile, seed: int) -> Plan:
    """The same for the same seed."""
    luck = random.Random(seed)  # noqa: S311 - variety, no secret
    often = {name: count for count, names in _DAY for name in names}
    counts = {name: often.get(name, _SELDOM) for name in sorted(profile.catalogue)}
    rarest = sorted(counts, key=lambda name: counts[name])
    few_type = rarest[0]
    one_type = rarest[1] if len(rarest) > _FEW_TYPES else few_type
    others = [name for name in counts if name not in (few_type, one_type)] or [few_type]
    first = [_varied(profile, few_type, luck, number) for number in range(FEW)]
    if one_type != few_type:
        first.append(_varied(profile, one_type, luck, 0))
    later = {name: counts[name] for name in others}
    if stops_by_itself(profile) and one_type != few_type:
        later[one_type] = counts[one_type]  # they meet a webhook that is stopped
    rest = [_varied(profile, name, luck, number) for name, count in later.items() for number in range(FEW, FEW + count)]
    luck.shuffle(rest)
    return Plan(
        some_types=tuple(others[::5]), few_type=few_type, one_type=one_type, first=tuple(first), rest=tuple(rest)
    )


def stops_by_itself(profile: Profile) -> bool:
    """Whether a receiver that is gone stops the webhook."""
    return profile.disable.gone_disables or profile.disable.on_exhausted


def _varied(profile: Profile, name: str, luck: random.Random, number: int) -> Planned:
    entry = profile.catalogue[name]
    data = _vary(entry.event_type.example, luck, luck.randrange(len(_NAMES)))
    if not entry.validator.is_valid(data):
        data = entry.event_type.example
    return Planned(type=name, data=data, external_id=f"demo-{name}-{number}")


def _vary(value: Any, luck: random.Random, campaign: int, key: str = "", within: str = "") -> Any:
    """The same with other ids and names; those of the campaign are one of a few, as they are where ads are bought."""
    if isinstance(value, Mapping):
        return {name: _vary(one, luck, campaign, name, key) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_vary(one, luck, campaign, key, within) for one in value]
    is_campaign = key.startswith("campaign") or within == "campaign"
    if isinstance(value, str) and value and (key == "id" or key.endswith(("_id", "Id"))):
        return f"{value}-{campaign}" if is_campaign else f"{value}-{luck.getrandbits(32):08x}"
    if isinstance(value, str) and (key == "name" or key.endswith(("_name", "Name"))):
        return _NAMES[campaign] if is_campaign else luck.choice(_NAMES)
    return value
