"""``tocsin send``: publishes an event, and can wait to see it delivered."""

import json
import time
from typing import Annotated, Any

from cyclopts import Parameter, validators

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.exits import OK, UNDELIVERED, USAGE, Failure
from tocsin.cli.output import AsJson, Flag, ago, put_json, put_pairs, put_table, put_text, say
from tocsin.cli.reading import read_json

_LOOK_EVERY_S = 0.2
_ENDED = frozenset({"succeeded", "failed", "cancelled", "digested"})


def send(
    event_type: str,
    /,
    *,
    data: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None,
    example: Flag = False,
    external_id: str | None = None,
    timestamp: str | None = None,
    wait: Flag = False,
    timeout: Annotated[float, Parameter(validator=validators.Number(gte=0))] = 60.0,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> int:
    """Publish an event.

    Args:
        event_type: Its type; tocsin profiles show standard lists them.
        data: Its data: JSON, a file that holds it, or - for stdin.
        example: Send the type's own example.
        external_id: Your own id for it; the same content again under that id is not sent twice.
        timestamp: When it happened (RFC 3339); now unless said otherwise.
        wait: Wait until its deliveries have ended; exit code 6 unless every one succeeded and there was one.
        timeout: How many seconds to wait at most.
        as_json: Print JSON.
    """
    if (data is not None) == example:
        raise Failure(USAGE, "give the event's data with --data, or --example")
    with Client(at) as client:
        if data is not None:
            content = read_json(data, "--data")
        else:
            found = client.get(f"/v1/event-types/{segment(event_type)}")
            content = json.dumps(found["example"], ensure_ascii=False).encode()
        receipt = client.call("POST", "/v1/events", body=_body(event_type, content, external_id, timestamp))
        if not wait:
            _put_receipt(receipt, as_json=as_json)
            return OK
        event = _wait(client, receipt["id"], timeout)
    return _report(receipt, event, timeout, as_json=as_json)


def _body(event_type: str, data: bytes, external_id: str | None, timestamp: str | None) -> bytes:
    """The request, with the data's own bytes: the server judges them as they are."""
    rest = {"type": event_type, "external_id": external_id, "timestamp": timestamp}
    head = json.dumps({name: value for name, value in rest.items() if value is not None}).encode()
    return head[:-1] + b',"data":' + data + b"}"


def _wait(client: Client, event_id: str, timeout_s: float) -> dict[str, Any]:
    """The event once all of its deliveries have ended, or the time is over."""
    end = time.monotonic() + timeout_s
    while True:
        event: dict[str, Any] = client.get(f"/v1/events/{segment(event_id)}")
        ended = len(event["deliveries"]) >= event["matched"] and all(
            one["status"] in _ENDED for one in event["deliveries"]
        )
        if ended or time.monotonic() >= end:
            return event
        time.sleep(_LOOK_EVERY_S)


def _report(receipt: dict[str, Any], event: dict[str, Any], timeout_s: float, *, as_json: bool) -> int:
    deliveries = event["deliveries"]
    delivered = bool(deliveries) and all(one["status"] == "succeeded" for one in deliveries)
    if as_json:
        put_json({**receipt, "delivered": delivered, "deliveries": deliveries, "routing": event["routing"]})
    else:
        _put_receipt(receipt, as_json=False)
        put_text("")
        now = time.time()
        rows = [
            [one["id"], one["webhook_id"], one["status"], one["status_code"], one["attempt_count"], _next(one, now)]
            for one in deliveries
        ]
        if rows:
            put_table(("delivery", "webhook", "status", "code", "attempts", "next attempt"), rows)
        else:
            put_table(
                ("webhook", "got it", "because"),
                ([one["webhook_id"], one["matched"], one["reason"]] for one in event["routing"]),
            )
    if delivered:
        return OK
    if not deliveries:
        say("No webhook takes it.")
    elif all(one["status"] in _ENDED for one in deliveries):
        say("Not delivered; tocsin deliveries show tells why.")
    else:
        say(f"Not delivered within {timeout_s:g} s; it is still being tried. tocsin deliveries show tells why.")
    return UNDELIVERED


def _put_receipt(receipt: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(receipt)
        return
    put_pairs(receipt)
    if receipt["duplicate"]:
        say("This was accepted before under that external id; nothing is sent again.")


def _next(delivery: dict[str, Any], now: float) -> str:
    return ago(delivery["next_attempt_at"], now) if delivery["next_attempt_at"] else "–"
