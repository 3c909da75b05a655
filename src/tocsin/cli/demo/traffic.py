"""Events for the demonstration: the catalogue's own examples, each one different."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tocsin.profiles import Profile

_NAMES = ("Nordwind", "Zürich Métro", "東京 Ads", "Ω-Traffic", "Söder & Söhne", "Кампания 7", "Été 🚀", 'O"Brien\\Co')
_EACH = 16  # events of each type: of the 25 types of `standard`, 400
_FEW = 4
SINGLE = 100  # so many are posted one by one, the others in batches


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
    one_type: str  # for the one that is gone: one event in `first`
    first: tuple[Planned, ...]
    rest: tuple[Planned, ...]


def plan(profile: Profile, seed: int) -> Plan:
    """The same for the same seed."""
    luck = random.Random(seed)  # noqa: S311 - variety, no secret
    types = sorted(profile.catalogue)
    few_type, one_type = types[0], types[1 % len(types)]
    others = [name for name in types if name not in (few_type, one_type)] or types
    first = [_varied(profile, few_type, luck, number) for number in range(_FEW)]
    if one_type != few_type:
        first.append(_varied(profile, one_type, luck, 0))
    again = [one_type] if profile.disable.gone_disables and one_type != few_type else []
    rest = [_varied(profile, name, luck, number) for name in (*others, *again) for number in range(1, _EACH + 1)]
    luck.shuffle(rest)
    return Plan(
        some_types=tuple(others[::5]), few_type=few_type, one_type=one_type, first=tuple(first), rest=tuple(rest)
    )


def _varied(profile: Profile, name: str, luck: random.Random, number: int) -> Planned:
    entry = profile.catalogue[name]
    data = _vary(entry.event_type.example, luck)
    if not entry.validator.is_valid(data):
        data = entry.event_type.example
    return Planned(type=name, data=data, external_id=f"demo-{name}-{number}")


def _vary(value: Any, luck: random.Random, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _vary(one, luck, name) for name, one in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_vary(one, luck, key) for one in value]
    if isinstance(value, str) and value and (key == "id" or key.endswith("_id")):
        return f"{value}-{luck.getrandbits(32):08x}"
    if isinstance(value, str) and key == "name":
        return luck.choice(_NAMES)
    return value
