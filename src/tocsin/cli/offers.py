"""``tocsin offers``: what a conversion is worth, and its caps."""

from collections.abc import Mapping
from typing import Any, Literal

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, put_json, put_pairs, put_table

app = command_group("offers", "What a conversion is worth, how long it is held, and its caps.")

WINDOWS = ("daily", "weekly", "monthly", "global")


@app.command(name="list")
def list_(*, limit: int = 100, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List offers, by id, each with how much of its caps is used.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/offers", limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "name", "payout", *WINDOWS),
        ([one["id"], one["name"], one["payout"], *(_used(one["standing"][kind]) for kind in WINDOWS)] for one in found),
    )


@app.command(alias="show")
def get(offer: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one offer: where its caps stand, and when they will be reached.

    Args:
        offer: Its id, as activities name it.
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.get(f"/v1/offers/{segment(offer)}"), as_json=as_json)


@app.command(name="set")
def set_(
    offer: str,
    /,
    *,
    name: str,
    payout: str | None = None,
    hold_s: int | None = None,
    default_status: Literal["pending", "approved"] | None = None,
    timezone: str | None = None,
    daily: int | None = None,
    weekly: int | None = None,
    monthly: int | None = None,
    in_all: int | None = None,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Set an offer, all of it: what is left out is no more.

    Args:
        offer: Its id, as activities name it.
        name: What people call it.
        payout: Of a conversion that says none.
        hold_s: Seconds for which what is pending waits to be approved.
        default_status: Of a conversion that says none.
        timezone: IANA name, such as Europe/Berlin, for its windows; else the account's.
        daily: The cap of a day, in conversions.
        weekly: The cap of a week, from Monday.
        monthly: The cap of a month.
        in_all: The cap for ever.
        as_json: Print JSON.
    """
    caps = {"daily": daily, "weekly": weekly, "monthly": monthly, "global": in_all}
    body = {
        "name": name,
        "payout": payout,
        "hold_s": hold_s,
        "default_status": default_status,
        "timezone": timezone,
        "caps": caps,
    }
    with Client(at) as client:
        _put(client.call("PUT", f"/v1/offers/{segment(offer)}", body=body), as_json=as_json)


def _put(offer: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(offer)
        return
    put_pairs({name: value for name, value in offer.items() if name not in ("caps", "standing")})
    put_table(
        ("cap", "window", "used", "reached at this pace"),
        (
            [kind, standing["window"], _used(standing), "reached" if standing["reached"] else standing["expected_at"]]
            for kind, standing in offer["standing"].items()
        ),
    )


def _used(standing: Mapping[str, Any]) -> str:
    return f"{standing['count']} of {standing['limit']}" if standing["limit"] else str(standing["count"])
