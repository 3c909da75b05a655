"""What is asked for when a webhook is made, changed or given a new secret: shapes and bounds."""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tocsin.control.values import Line, Prose

Url = Annotated[str, Meta(min_length=1, max_length=2_048, examples=["https://example.com/hooks"])]
Pattern = Annotated[str, Meta(min_length=1, max_length=130, examples=["click.created"])]
Patterns = Annotated[tuple[Pattern, ...], Meta(min_length=1, max_length=500)]
Filter = Annotated[str, Meta(min_length=1, max_length=2_048, examples=['data.visitor.country == "DE"'])]
HeaderValue = Annotated[str, Meta(max_length=4_096)]
Headers = Annotated[dict[str, HeaderValue], Meta(max_length=20)]
Secret = Annotated[str, Meta(min_length=1, max_length=512)]
# Beyond 10,000 a second nothing is limited any more; below one an hour is a schedule, not a rate.
Rate = Annotated[float, Meta(ge=1 / 3600, le=10_000, description="deliveries a second")]
InFlight = Annotated[int, Meta(ge=1, le=256, description="attempts under way at once")]
# CONTRACT §3: the old secret counts for a week at most.
Overlap = Annotated[int, Meta(ge=0, le=604_800, description="seconds")]
# Thirty days: who wants silence for longer wants the webhook disabled.
Hours = Annotated[float, Meta(ge=0, le=720)]


class NewWebhook(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    url: Url
    events: Patterns
    name: Line = ""
    description: Prose = ""
    channel: Annotated[str, Meta(max_length=64)] = "standard"
    filter: Filter | None = None
    headers: Headers = {}
    secret: Secret | None = None
    rate_limit: Rate | None = None
    max_in_flight: InFlight | None = None
    options: dict[str, Any] = {}
    enabled: bool = True


class WebhookPatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A merge patch (RFC 7396): what is left out stays, null removes. Header values are never shown, so single headers
    can be set and removed by name.
    """

    url: Url | UnsetType = UNSET
    events: Patterns | UnsetType = UNSET
    name: Line | UnsetType = UNSET
    description: Prose | UnsetType = UNSET
    filter: Filter | UnsetType | None = UNSET
    headers: Annotated[dict[str, HeaderValue | None], Meta(max_length=40)] | UnsetType | None = UNSET
    rate_limit: Rate | UnsetType | None = UNSET
    max_in_flight: InFlight | UnsetType | None = UNSET
    options: dict[str, Any] | UnsetType | None = UNSET
    enabled: bool | UnsetType = UNSET


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    overlap_s: Overlap = 86_400
    secret: Secret | None = None


def merge_patch(now: Mapping[str, Any], patch: Mapping[str, Any] | UnsetType | None) -> dict[str, Any]:
    """RFC 7396, for one object: null removes."""
    if patch is UNSET:
        return dict(now)
    if patch is None:
        return {}
    merged = dict(now)
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        elif isinstance(value, dict):
            base = merged.get(name)
            merged[name] = merge_patch(base if isinstance(base, Mapping) else {}, value)
        else:
            merged[name] = value
    return merged
