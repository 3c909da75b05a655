"""The commands of the two documents, run by curl against a real server with only host and credential changed (and where
the webhook is to go), and the delivery that follows, verified as the document's own receiver does it.
"""

import hashlib
import hmac
import json
import os
import subprocess
import time
from typing import Any

import pytest

from tests.support.api import Shop
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server

_STATUS = "\n%{http_code}"


class Terminal:
    """A shell in which HOST and KEY are set."""

    def __init__(self, server: Server, key: str | None) -> None:
        self._environ = {"PATH": os.environ["PATH"], "HOST": server.url, "KEY": key or ""}

    def run(self, command: str, **more: str) -> tuple[int, Any]:
        """One curl command: the status and the answer."""
        command = command.replace("curl ", f"curl --silent --show-error --write-out '{_STATUS}' ", 1)
        done = subprocess.run(
            ["bash", "-c", command],
            env=self._environ | more,
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        body, _, status = done.stdout.rpartition("\n")
        return int(status), json.loads(body)


# --- trcker -------------------------------------------------------------------------------------------------------

# "Subscribing"
SUBSCRIBE = """\
curl -X POST $HOST/api/public/webhooks \\
  -H "Authorization: Bearer $KEY" \\
  -H "Content-Type: application/json" \\
  -d '{
    "url": "'$TO'",
    "events": ["conversion.created", "conversion.approved", "fraud.high_risk"],
    "secret": "your_signing_secret_here"
  }'"""

# "Available events" and what belongs to a subscription that can be made
EVENTS = 'curl $HOST/api/public/webhook-events -H "Authorization: Bearer $KEY"'
SUBSCRIPTIONS = 'curl $HOST/api/public/webhooks -H "Authorization: Bearer $KEY"'
SUBSCRIPTION = 'curl $HOST/api/public/webhooks/$ID -H "Authorization: Bearer $KEY"'
UNSUBSCRIBE = 'curl -X DELETE $HOST/api/public/webhooks/$ID -H "Authorization: Bearer $KEY"'


def trcker_verifies(arrival: Arrival, secret: str) -> bool:
    """As the document's "Verifying signatures" has it, with its five minutes."""
    parts = dict(part.split("=") for part in arrival.headers["x-trcker-signature"].split(","))
    signed = f"{parts['t']}.{arrival.body.decode()}".encode()
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, parts["v1"]) and abs(time.time() - int(parts["t"])) < 300


@pytest.fixture(scope="module")
def brand(server: Server) -> Shop:
    shop = server.operator.shop("Brand", "trcker", external_id="b29e7d3f")
    assert shop.key
    assert shop.key.startswith("tk_")
    return shop


def test_trcker_subscribes_and_gets_what_it_asked_for(server: Server, brand: Shop, receiver: LedgerReceiver):
    """The document's command subscribes; a conversion then arrives as the document says and verifies; and so to the
    end of the subscription.
    """
    terminal = Terminal(server, brand.key)
    to = receiver.url("/trcker-events")
    status, made = terminal.run(SUBSCRIBE, TO=to)
    assert status == 201
    assert made["events"] == ["conversion.created", "conversion.approved", "fraud.high_risk"]
    assert (made["url"], made["brandId"], made["status"]) == (to, "b29e7d3f", "active")
    assert made["secret"] == "your_signing_secret_here"

    receipt = brand.publish("conversion.created")
    [arrival] = receiver.wait_for("/trcker-events", 1)
    assert trcker_verifies(arrival, "your_signing_secret_here")
    assert not trcker_verifies(arrival, "another")
    assert arrival.headers["x-trcker-event"] == "conversion.created"
    assert (arrival.json["id"], arrival.json["brandId"]) == (receipt["id"], made["brandId"])
    assert brand.publish("partner.applied")["matched"] == 0

    status, listed = terminal.run(SUBSCRIPTIONS)
    shown = {name: value for name, value in made.items() if name != "secret"}
    assert (status, listed) == (200, {"data": [shown], "nextCursor": None, "hasMore": False})
    assert terminal.run(SUBSCRIPTION, ID=made["id"]) == (200, shown)
    assert terminal.run(UNSUBSCRIBE, ID=made["id"]) == (200, {"id": made["id"], "deleted": True})
    assert terminal.run(SUBSCRIPTION, ID=made["id"])[0] == 404
    assert brand.publish("conversion.created")["matched"] == 0


def test_trcker_lists_its_events_with_their_payloads(server: Server, brand: Shop):
    """The list that the document points to holds its eight events."""
    status, found = Terminal(server, brand.key).run(EVENTS)
    assert status == 200
    assert {one["event"] for one in found["data"]} == {
        *(f"conversion.{what}" for what in ("created", "approved", "rejected")),
        *(f"partner.{what}" for what in ("applied", "approved", "banned")),
        "fraud.high_risk",
        "cap.reached",
    }


# --- cue ----------------------------------------------------------------------------------------------------------

# "Register Your Webhook"
REGISTER = """\
curl -X POST $HOST/api/v1/webhooks \\
  -H "Content-Type: application/json" \\
  -H "x-user-id: $KEY" \\
  -d '{
    "url": "'$TO'",
    "events": ["ad.click", "ad.impression", "campaign.budget_exhausted"],
    "description": "Main webhook endpoint"
  }'"""

# "Webhook Management API": its five commands
LIST = """\
curl -X GET $HOST/api/v1/webhooks \\
  -H "x-user-id: $KEY\""""
CREATE = """\
curl -X POST $HOST/api/v1/webhooks \\
  -H "Content-Type: application/json" \\
  -H "x-user-id: $KEY" \\
  -d '{
    "url": "'$TO'",
    "events": ["ad.click", "ad.impression"],
    "description": "Main webhook endpoint"
  }'"""
UPDATE = """\
curl -X PATCH $HOST/api/v1/webhooks/$ID \\
  -H "Content-Type: application/json" \\
  -H "x-user-id: $KEY" \\
  -d '{
    "events": ["ad.click", "ad.impression", "campaign.budget_exhausted"]
  }'"""
DELETE = """\
curl -X DELETE $HOST/api/v1/webhooks/$ID \\
  -H "x-user-id: $KEY\""""
TEST = """\
curl -X POST $HOST/api/v1/webhooks/$ID/test \\
  -H "x-user-id: $KEY\""""


def cue_verifies(arrival: Arrival, secret: str) -> bool:
    """As the document's "Webhook Signature Verification" has it."""
    actual = arrival.headers["cue-signature"].replace("sha256=", "")
    expected = hmac.new(secret.encode(), arrival.body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected, actual)


@pytest.fixture(scope="module")
def advertiser(server: Server) -> Shop:
    return server.operator.shop("Advertiser", "cue", external_id="advertiser-1")


def test_cue_registers_and_gets_what_it_asked_for(server: Server, advertiser: Shop, receiver: LedgerReceiver):
    """The document's first command registers a webhook; its answer's secret verifies what then arrives."""
    status, made = Terminal(server, advertiser.key).run(REGISTER, TO=receiver.url("/webhooks/cue"))
    assert (status, made["description"], made["active"]) == (201, "Main webhook endpoint", True)
    receipt = advertiser.publish("campaign.budget_exhausted")
    [arrival] = receiver.wait_for("/webhooks/cue", 1)
    assert cue_verifies(arrival, made["secret"])
    assert not cue_verifies(arrival, "another")
    assert (arrival.json["id"], arrival.json["type"]) == (receipt["id"], "campaign.budget_exhausted")
    assert arrival.json["created"] == f"{receipt['timestamp'][:19]}Z"
    advertiser.ok("DELETE", f"/v1/webhooks/{made['id']}")


def test_cue_manages_its_webhooks(server: Server, advertiser: Shop, receiver: LedgerReceiver):
    """The document's five commands of management, one after the other."""
    terminal = Terminal(server, advertiser.key)
    status, made = terminal.run(CREATE, TO=receiver.url("/managed"))
    assert (status, made["events"]) == (201, ["ad.click", "ad.impression"])
    assert advertiser.publish("campaign.budget_exhausted")["matched"] == 0

    status, changed = terminal.run(UPDATE, ID=made["id"])
    assert (status, changed["events"]) == (200, ["ad.click", "ad.impression", "campaign.budget_exhausted"])
    assert (changed["url"], changed["description"]) == (made["url"], made["description"])
    assert "secret" not in changed
    assert terminal.run(LIST) == (200, {"data": [changed], "next_cursor": None, "has_more": False})

    status, tested = terminal.run(TEST, ID=made["id"])
    [arrival] = receiver.wait_for("/managed", 1)
    assert (status, tested["success"], tested["status_code"], tested["outcome"]) == (200, True, 200, "succeeded")
    assert arrival.headers["tocsin-test"] == "true"
    assert cue_verifies(arrival, made["secret"])
    assert tested["request"]["body"] == arrival.body.decode()

    receiver.script("/managed", Answer(503, body=b"not now"))
    status, tested = terminal.run(TEST, ID=made["id"])
    assert (status, tested["success"], tested["status_code"], tested["outcome"]) == (200, False, 503, "http_error")
    assert tested["response"]["body"] == "not now"

    assert terminal.run(DELETE, ID=made["id"]) == (200, {"id": made["id"], "deleted": True})
    assert terminal.run(LIST)[1]["data"] == []
    assert terminal.run(DELETE, ID=made["id"])[0] == 404
