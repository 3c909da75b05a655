"""``tocsin profiles``: the dialects, and what each holds."""

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tocsin.cli.exits import NOT_FOUND, Failure
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, heading, put_json, put_pairs, put_table, put_text
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
    from tocsin.profiles import words

    found = [profiles.load(name) for name in profiles.names()]
    if as_json:
        put_json([_shown(profile) for profile in found])
        return
    put_table(
        ("name", "title", "event types", "retries after", "time limit", "webhooks"),
        (
            [
                one.name,
                one.title,
                len(one.catalogue),
                words.retries(one),
                words.exact(one.timeout_s),
                words.webhooks(one),
            ]
            for one in found
        ),
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
    from tocsin.triggers import firing

    found = entry.event_type
    fired_by = firing.load(profile).told(event_type)
    if as_json:
        put_json(
            {
                "name": found.name,
                "description": found.description,
                "schema": found.schema,
                "example": found.example,
                "source": found.source,
                "extension": found.extension,
                "fired_by": fired_by,
            }
        )
        return
    put_pairs(
        {"name": found.name, "description": found.description, "source": found.source, "fired by": fired_by or "–"}
    )
    for title, value in (("Example", found.example), ("Schema", found.schema)):
        put_text("")
        heading(title)
        put_text(json.dumps(value, ensure_ascii=False, indent=2))


def _put(profile: "Profile") -> None:
    from tocsin.profiles import words

    shown = _shown(profile)
    put_pairs(
        {
            "name": profile.name,
            "title": profile.title,
            "document": profile.document,
            "body": profile.body_outline,
            "signature": words.signature(profile),
            "secret": words.secret(profile),
            "other headers": ["Webhook-Id", *profile.further_headers],
            "retries after": f"{words.retries(profile)} ({len(profile.schedule_s) + 1} attempts)",
            "time limit": words.exact(profile.timeout_s),
            "webhooks": words.webhooks(profile),
            "addresses": words.addresses(profile),
            "disabled": words.disabling(profile),
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
    put_table(
        ("name", "description", "fired by"),
        ([one["name"], one["description"], one["fired_by"] or "–"] for one in shown["event_types"]),
    )


def _shown(profile: "Profile") -> dict[str, Any]:
    from tocsin.triggers import firing

    fires = firing.load(profile)
    limits, disable, signature = profile.limits, profile.disable, profile.signature
    return {
        "name": profile.name,
        "title": profile.title,
        "document": profile.document,
        "body": profile.body_outline,
        "signature": {
            "scheme": signature.scheme,
            "header": signature.header,
            "prefix": signature.prefix,
            "options": sorted(profile.option_names),
        },
        "further_headers": list(profile.further_headers),
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
                "fired_by": fires.told(name),
            }
            for name in sorted(profile.catalogue)
        ],
    }
