"""``tocsin events``: what happened, and why it went where it went."""

import json
import time
from typing import Annotated

from cyclopts import Parameter

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.deliveries import digest_of
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, ago, heading, put_json, put_pairs, put_table, put_text

app = command_group("events", "What happened, and why it went where it went.")


@app.command(name="list")
def list_(
    *,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    since: str | None = None,
    until: str | None = None,
    source: str | None = None,
    external_id: str | None = None,
    limit: int = 50,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """List events, newest first.

    Args:
        event_type: Only of this type.
        since: Only those accepted at this instant (RFC 3339) or later.
        until: Only those accepted before it.
        source: Only from there: api, activity or test.
        external_id: Only the one with this id of yours.
        limit: How many at most.
        as_json: Print JSON.
    """
    query = {"type": event_type, "since": since, "until": until, "source": source, "external_id": external_id}
    with Client(at) as client:
        found = list(client.items("/v1/events", query, limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "type", "accepted", "matched", "external id", "source"),
        (
            [one["id"], one["type"], one["accepted_at"], one["matched"], one["external_id"], one["source"]]
            for one in found
        ),
    )


@app.command
def show(event: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one event with its deliveries and, for each webhook of the account, why it got it or not.

    Args:
        event: Its id (evt_…).
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = client.get(f"/v1/events/{segment(event)}")
    if as_json:
        put_json(found)
        return
    put_pairs({name: value for name, value in found.items() if name not in ("data", "deliveries", "routing")})
    put_text("")
    heading("Data")
    put_text("(no longer kept)" if found["data"] is None else json.dumps(found["data"], ensure_ascii=False, indent=2))
    put_text("")
    heading("Why it went where it went")
    put_table(
        ("webhook", "got it", "because"),
        ([one["webhook_id"], one["matched"], one["reason"]] for one in found["routing"]),
    )
    if found["deliveries"]:
        now = time.time()
        put_text("")
        heading("Deliveries")
        put_table(
            ("id", "webhook", "status", "code", "attempts", "next attempt", "digest"),
            (
                [
                    one["id"],
                    one["webhook_id"],
                    one["status"],
                    one["status_code"],
                    one["attempt_count"],
                    ago(one["next_attempt_at"], now) if one["next_attempt_at"] else "–",
                    digest_of(one),
                ]
                for one in found["deliveries"]
            ),
        )
