"""``tocsin campaigns``: budgets, and how a campaign does."""

from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, put_json, put_pairs, put_table

app = command_group("campaigns", "Budgets, and how a campaign does.")


@app.command(name="list")
def list_(*, limit: int = 100, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List campaigns, by id, each with how much of its budgets is spent.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/campaigns", limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "name", "status", "spent", "today", "currency", "clicks", "conversions"),
        (
            [
                *(one["id"], one["name"], one["status"]),
                *(_spent(one["standing"][scope]) for scope in ("total", "daily")),
                *(one["currency"], one["performance"]["clicks"], one["performance"]["conversions"]),
            ]
            for one in found
        ),
    )


@app.command(alias="show")
def get(campaign: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one campaign: where its budgets stand, and when they will be spent.

    Args:
        campaign: Its id, as activities name it.
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.get(f"/v1/campaigns/{segment(campaign)}"), as_json=as_json)


@app.command(name="set")
def set_(
    campaign: str,
    /,
    *,
    name: str,
    budget: str | None = None,
    daily_budget: str | None = None,
    alert_percent: Annotated[tuple[int, ...], Parameter(negative=())] = (),
    timezone: str | None = None,
    currency: str | None = None,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Set a campaign, all of it: what is left out is no more. It is made, or changed if anything differs.

    Args:
        campaign: Its id, as activities name it.
        name: What people call it.
        budget: For all of it.
        daily_budget: For a day.
        alert_percent: Say so when so much of a budget is spent; repeatable. Without it: 80 and 100.
        timezone: IANA name, such as Europe/Berlin, for its days; else the account's.
        currency: Of all its amounts; else the first that is spent.
        as_json: Print JSON.
    """
    body: dict[str, object] = {
        "name": name,
        "budget": budget,
        "daily_budget": daily_budget,
        "timezone": timezone,
        "currency": currency,
    }
    if alert_percent:
        body["alert_percents"] = list(alert_percent)
    with Client(at) as client:
        _put(client.call("PUT", f"/v1/campaigns/{segment(campaign)}", body=body), as_json=as_json)


def _put(campaign: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(campaign)
        return
    pairs = {name: value for name, value in campaign.items() if name not in ("standing", "performance")}
    put_pairs({**pairs, **campaign["performance"]})
    put_table(
        ("budget", "window", "spent", "%", "spent at this pace"),
        (
            [
                *(scope, one["window"], _spent(one), one["percent"]),
                "spent" if one["reached"] else one["expected_at"],
            ]
            for scope, one in campaign["standing"].items()
        ),
    )


def _spent(standing: Mapping[str, Any]) -> str:
    return f"{standing['spent']} of {standing['budget']}" if standing["budget"] else str(standing["spent"])
