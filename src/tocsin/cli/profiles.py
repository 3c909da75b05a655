"""``tocsin profiles``: the dialects, and what each holds."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tocsin.cli.exits import NOT_FOUND, Failure
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, heading, put_json, put_pairs, put_table, put_text, span
from tocsin.cli.settings import OUR_DIALECTS, DialectFlags

if TYPE_CHECKING:
    from tocsin.profiles import Profile

app = command_group("profiles", "The dialects that accounts can speak.")


@app.default
@app.command(name="list")
def list_(*, as_json: AsJson = False, dialects: DialectFlags = OUR_DIALECTS) -> None:
    """List the dialects.

    Args:
        as_json: Print JSON.
    """
    dialects.use()
    from tocsin import profiles

    found = [profiles.load(name) for name in profiles.names()]
    if as_json:
        put_json([_shown(profile) for profile in found])
        return
    put_table(
        ("name", "title", "event types", "retries after", "time limit"),
        ([one.name, one.title, len(one.catalogue), _spans(one.schedule_s), span(one.timeout_s)] for one in found),
    )


@app.command
def show(
    name: str,
    /,
    *,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    as_json: AsJson = False,
    dialects: DialectFlags = OUR_DIALECTS,
) -> None:
    """Show one dialect: schedule, limits, event types; or one of its event types with schema and example.

    Args:
        name: The dialect's.
        event_type: One of its event types.
        as_json: Print JSON.
    """
    dialects.use()
    import json

    from tocsin import profiles

    if name not in profiles.names():
        raise Failure(NOT_FOUND, f"no profile is called {name!r}; there are {', '.join(profiles.names())}")
    profile = profiles.load(name)
    if event_type is None:
        if as_json:
            put_json(_shown(profile))
        else:
            _put(profile)
        return
    entry = profile.catalogue.get(event_type)
    if entry is None:
        raise Failure(NOT_FOUND, f"{name} has no event type {event_type!r}; tocsin profiles show {name} lists them")
    found = entry.event_type
    if as_json:
        put_json(
            {
                "name": found.name,
                "description": found.description,
                "schema": found.schema,
                "example": found.example,
                "source": found.source,
                "extension": found.extension,
            }
        )
        return
    put_pairs({"name": found.name, "description": found.description, "source": found.source})
    for title, value in (("Example", found.example), ("Schema", found.schema)):
        put_text("")
        heading(title)
        put_text(json.dumps(value, ensure_ascii=False, indent=2))


def _put(profile: "Profile") -> None:
    shown = _shown(profile)
    put_pairs(
        {
            "name": profile.name,
            "title": profile.title,
            "document": profile.document,
            "retries after": f"{_spans(profile.schedule_s)} ({len(profile.schedule_s) + 1} attempts)",
            "time limit": span(profile.timeout_s),
            "webhooks": "any number" if profile.limits.webhooks is None else f"{profile.limits.webhooks} at most",
            "addresses": "https only" if profile.limits.https_only else "https (and http where the server allows it)",
            "disabled": "; ".join(_disabling(profile)) or "never by itself",
            "IP addresses": "masked in bodies, unless the account says otherwise"
            if profile.mask_ips
            else "as they are",
            "own event types": profile.custom_event_types,
            "its keys": f"{profile.key_prefix}…",
            "reserved headers": sorted(profile.own_headers),
        }
    )
    put_text("")
    heading("Event types")
    put_table(("name", "description"), ([one["name"], one["description"]] for one in shown["event_types"]))


def _shown(profile: "Profile") -> dict[str, Any]:
    limits, disable = profile.limits, profile.disable
    return {
        "name": profile.name,
        "title": profile.title,
        "document": profile.document,
        "schedule_s": list(profile.schedule_s),
        "timeout_s": profile.timeout_s,
        "limits": {"webhooks": limits.webhooks, "https_only": limits.https_only},
        "disable": {
            "on_exhausted": disable.on_exhausted,
            "failing_for_s": disable.failing_for_s,
            "warn_at_s": list(disable.warn_at_s),
            "gone_disables": disable.gone_disables,
        },
        "mask_ips": profile.mask_ips,
        "custom_event_types": profile.custom_event_types,
        "key_prefix": profile.key_prefix,
        "own_headers": sorted(profile.own_headers),
        "event_types": [
            {
                "name": name,
                "description": profile.catalogue[name].event_type.description,
                "source": profile.catalogue[name].event_type.source,
                "extension": profile.catalogue[name].event_type.extension,
            }
            for name in sorted(profile.catalogue)
        ],
    }


def _disabling(profile: "Profile") -> list[str]:
    policy = profile.disable
    found = []
    if policy.on_exhausted:
        found.append("when a delivery has used up its retries")
    if policy.failing_for_s is not None:
        found.append(f"after {span(policy.failing_for_s)} in which every attempt failed")
    if policy.gone_disables:
        found.append("at once on 410")
    return found


def _spans(seconds: tuple[float, ...]) -> str:
    return ", ".join(_whole_span(one) for one in seconds)


def _whole_span(seconds: float) -> str:
    """In the largest unit that it is a whole number of, as documents write a schedule: ``64 s``, not ``1.07 m``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:g} s"
