"""``tocsin deliveries``: events on their way, with every attempt."""

import time
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from tocsin.cli import attempts
from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.exits import OK, UNDELIVERED, Failure
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, Flag, ago, put_json, put_pairs, put_table, put_text, say

app = command_group("deliveries", "Events on their way, with every attempt.")

# The longest time limit of a profile is 30 s; within that an attempt that is under way has ended.
_UNDER_WAY_S = 32.0
_LOOK_S = 0.3

State = Literal["pending", "sending", "retrying", "succeeded", "failed", "cancelled", "digested"]


@app.command(name="list")
def list_(
    *,
    webhook: str | None = None,
    event: str | None = None,
    digest: str | None = None,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    status: State | None = None,
    code: int | None = None,
    channel: str | None = None,
    since: str | None = None,
    until: str | None = None,
    limit: int = 50,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """List deliveries, newest first.

    Args:
        webhook: Only to this webhook (wh_…).
        event: Only of this event (evt_…).
        digest: Only what was folded into this digest (dig_…).
        event_type: Only of events of this type.
        status: Only in this state.
        code: Only those whose last attempt was answered with this status code.
        channel: Only through this channel: standard (or webhook), slack, telegram, discord, email, postback.
        since: Only those made at this instant (RFC 3339) or later.
        until: Only those made before it.
        limit: How many at most.
        as_json: Print JSON.
    """
    query = {
        "webhook": webhook,
        "event": event,
        "digest": digest,
        "type": event_type,
        "status": status,
        "code": code,
        "channel": channel,
        "since": since,
        "until": until,
    }
    with Client(at) as client:
        found = list(client.items("/v1/deliveries", query, limit=limit))
    if as_json:
        put_json(found)
        return
    now = time.time()
    gathers = any(one["digest_id"] or one["members"] is not None for one in found)
    put_table(
        ("id", "status", "code", "attempts", "type", "webhook", "made", "next attempt", *(["digest"] * gathers)),
        (
            [
                one["id"],
                one["status"],
                one["status_code"],
                one["attempt_count"],
                one["type"],
                one["webhook_id"],
                ago(one["created_at"], now),
                ago(one["next_attempt_at"], now) if one["next_attempt_at"] else "–",
                *([digest_of(one)] * gathers),
            ]
            for one in found
        ),
    )


def digest_of(delivery: Mapping[str, Any]) -> str:
    """The digest that a delivery was folded into, or of how many it is one."""
    if delivery["members"] is not None:
        return f"of {delivery['members']}"
    return delivery["digest_id"] or "–"


@app.command
def show(delivery: str, /, *, brief: Flag = False, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one delivery with every attempt: what was sent, what came back, what went wrong, when it is tried again.

    Args:
        delivery: Its id (dlv_…, or dig_… of a digest).
        brief: Without headers and bodies.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = client.get(f"/v1/deliveries/{segment(delivery)}")
    if as_json:
        put_json(found)
        return
    now = time.time()
    put_pairs(
        {
            "id": found["id"],
            "status": found["status"],
            "event": f"{found['event_id']} ({found['type']})",
            "webhook": found["webhook_id"],
            "made": ago(found["created_at"], now),
            "ended": ago(found["finished_at"], now) if found["finished_at"] else None,
            "next attempt": ago(found["next_attempt_at"], now) if found["next_attempt_at"] else None,
            "attempts": found["attempt_count"],
            "digest": _folded(found),
            "members": _members(found),
        }
    )
    for attempt in found["attempts"]:
        put_text("")
        attempts.put(attempt, whole=not brief)


def _folded(found: Mapping[str, Any]) -> str | None:
    if found["digest_id"] is None:
        return None
    return f"{found['digest_id']} ({found['digest_status'] or 'no longer kept'})"


def _members(found: Mapping[str, Any]) -> str | None:
    if found["members"] is None:
        return None
    return f"{found['members']}: tocsin deliveries list --digest {found['id']}"


@app.command
def retry(delivery: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> int:
    """Try a delivery again now and show what really happened; exit code 6 where it did not succeed.

    An attempt that is under way is waited for; if it succeeds, it is shown, and no other is made.

    Args:
        delivery: Its id (dlv_…).
        as_json: Print JSON.
    """
    with Client(at) as client:
        attempt = _retried(client, f"/v1/deliveries/{segment(delivery)}")
    if as_json:
        put_json(attempt)
    else:
        attempts.put(attempt)
    return OK if attempt["outcome"] == "succeeded" else UNDELIVERED


def _retried(client: Client, path: str) -> Any:
    end = time.monotonic() + _UNDER_WAY_S
    while True:
        try:
            return client.call("POST", f"{path}/retry")
        except Failure as failure:
            if failure.problem != "attempt_under_way" or time.monotonic() > end:
                raise
        time.sleep(_LOOK_S)
        found = client.get(path)
        if found["status"] == "succeeded":
            say("An attempt that was under way has succeeded.")
            return found["attempts"][-1]


@app.command
def cancel(delivery: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """End a delivery that waits.

    Args:
        delivery: Its id (dlv_…).
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = client.call("POST", f"/v1/deliveries/{segment(delivery)}/cancel")
    if as_json:
        put_json(found)
    else:
        say(f"{found['id']} is {found['status']}.")
