"""``tocsin alerts``: metrics that pass a threshold."""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, ago, put_json, put_pairs, put_table, put_text, say

app = command_group("alerts", "A metric that passes a threshold.")

Metric = Literal["clicks", "conversions", "conversion_rate", "fraud_rate", "bot_rate", "ctr", "spend", "payout"]
# Words, since a shell takes < and > for itself.
Op = Annotated[
    Literal["above", "at-least", "below", "at-most", ">", ">=", "<", "<="],
    Parameter(show_choices=True),
]
_OPS = {"above": ">", "at-least": ">=", "below": "<", "at-most": "<="}


def _alert(
    metric: str,
    op: str,
    threshold: str,
    window: int,
    campaign: str | None,
    min_count: int,
    cooldown: int,
) -> dict[str, object]:
    body: dict[str, object] = {
        "metric": metric,
        "op": _OPS.get(op, op),
        "threshold": threshold,
        "window_s": window,
        "min_count": min_count,
        "cooldown_s": cooldown,
    }
    if campaign is not None:
        body["campaign"] = campaign
    return body


def _condition(alert: Mapping[str, Any]) -> str:
    return f"{alert['metric']} {alert['op']} {alert['threshold']}"


@app.command(name="list")
def list_(*, limit: int = 100, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List alerts, newest first, each with what it measures now.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/alerts", limit=limit))
    if as_json:
        put_json(found)
        return
    now = time.time()
    put_table(
        ("id", "name", "fires when", "over", "campaign", "now", "armed", "fired"),
        (
            [
                one["id"],
                one["name"],
                _condition(one),
                f"{one['window_s']} s",
                one["campaign"],
                one["value"],
                "yes" if one["armed"] else "no",
                ago(one["last_fired_at"], now) if one["last_fired_at"] else "–",
            ]
            for one in found
        ),
    )


@app.command
def show(alert: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one alert with what it measures now.

    Args:
        alert: Its id (alr_…).
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = client.get(f"/v1/alerts/{segment(alert)}")
    if as_json:
        put_json(found)
    else:
        put_pairs(found)


@app.command
def create(
    metric: Metric,
    op: Op,
    threshold: str,
    /,
    *,
    window: int = 3_600,
    campaign: str | None = None,
    min_count: int = 0,
    cooldown: int = 3_600,
    name: str | None = None,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Make an alert: tocsin alerts create fraud_rate above 5 --window 3600 --min-count 100.

    Args:
        metric: What is measured; rates and ctr are in percent.
        op: How it compares with the threshold.
        threshold: A number.
        window: Over how many seconds back.
        campaign: Only this campaign's activity.
        min_count: How much must have been counted in the window.
        cooldown: After it fired, silent for so many seconds.
        name: As shown to people.
        as_json: Print JSON.
    """
    body = _alert(metric, op, threshold, window, campaign, min_count, cooldown)
    if name is not None:
        body["name"] = name
    with Client(at) as client:
        made = client.post("/v1/alerts", body)
    if as_json:
        put_json(made)
    else:
        put_pairs(made)


@app.command
def backtest(
    metric: Metric,
    op: Op,
    threshold: str,
    /,
    *,
    window: int = 3_600,
    campaign: str | None = None,
    min_count: int = 0,
    cooldown: int = 3_600,
    days: int = 7,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Ask when such an alert would have fired in the last days. Makes and sends nothing.

    Args:
        metric: What is measured; rates and ctr are in percent.
        op: How it compares with the threshold.
        threshold: A number.
        window: Over how many seconds back.
        campaign: Only this campaign's activity.
        min_count: How much must have been counted in the window.
        cooldown: After it fired, silent for so many seconds.
        days: How many days back.
        as_json: Print JSON.
    """
    body = _alert(metric, op, threshold, window, campaign, min_count, cooldown)
    with Client(at) as client:
        found = client.post("/v1/alerts/backtest", {**body, "days": days})
    if as_json:
        put_json(found)
        return
    put_table(("at", "value", "of"), ([one["at"], one["value"], one["count"]] for one in found["firings"]))
    put_text(f"It would have fired {found['fired']} times since {found['since']}, by {found['looked_at']} activities.")
    if not found["complete"]:
        say(f"There was more than one question may look at: it came as far as {found['until']}.")


@app.command
def delete(alert: str, /, *, at: Connection = HERE) -> None:
    """Remove an alert.

    Args:
        alert: Its id (alr_…).
    """
    with Client(at) as client:
        client.call("DELETE", f"/v1/alerts/{segment(alert)}")
    say(f"Removed {alert}.")
