"""`visits`: its token is given as a header, as in the document's own form; it is a secret all the same."""

import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from tests.api.site import HOOK, LocalShop, Site
from tests.support.api import Json
from tests.support.waiting import until

VISIT = "NEW_VISIT"
TOKEN = "a-token-of-mine"
HEADER = "X-Webhook-Signature"


class Wire:
    """A receiver that keeps every header line, so that one that came twice is seen twice."""

    def __init__(self) -> None:
        arrivals: list[tuple[list[tuple[str, str]], bytes]] = []

        class Hooks(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                arrivals.append((list(self.headers.items()), self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_request(self, *_: Any) -> None:
                pass

        self.arrivals = arrivals
        self.server = HTTPServer(("127.0.0.1", 0), Hooks)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hooks"

    def values(self, name: str) -> list[str]:
        """Of the last request."""
        return [value for given, value in self.arrivals[-1][0] if given.lower() == name.lower()]


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire()
    thread = threading.Thread(target=wire.server.serve_forever, daemon=True)
    thread.start()
    yield wire
    wire.server.shutdown()
    thread.join(5)
    wire.server.server_close()


@pytest.fixture
def visits(site: Site) -> LocalShop:
    return site.operator.shop("visits", "visits")


def sent(shop: LocalShop, made: Json, wire: Wire) -> Json:
    """Delivers one visit; the delivery's record."""
    before = len(wire.arrivals)
    event = shop.publish(VISIT)
    done = shop.wait_delivery(event["id"], made["id"], "succeeded")
    until(lambda: len(wire.arrivals) > before, "an arrival")
    return done


def refused(answer: Any, code: str, *pointers: str) -> None:
    assert (answer.status, answer.code) == (422, code), answer.body
    assert [fault["pointer"] for fault in answer.json["errors"]] == list(pointers)
    assert TOKEN not in answer.body.decode()


@pytest.mark.parametrize("name", [HEADER, HEADER.lower(), HEADER.upper()])
def test_the_documents_own_form(visits: LocalShop, wire: Wire, name: str) -> None:
    """A header X-Webhook-Signature, in any case, is the token: sent once, kept as the secret, shown nowhere."""
    made = visits.webhook(wire.url, headers={name: TOKEN, "X-Mine": "1"})
    assert (made["secret"], list(made["headers"])) == (TOKEN, ["X-Mine"])
    done = sent(visits, made, wire)
    assert wire.values(HEADER) == [TOKEN]
    assert wire.values("X-Mine") == ["1"]
    assert wire.values("X-Webhook-Event") == [VISIT]
    shown = {key.lower(): value for key, value in done["attempts"][0]["request"]["headers"].items()}
    assert shown["x-webhook-signature"] == "***"
    everything = json.dumps([done, visits.get("/v1/webhooks"), visits.get("/v1/audit")])
    assert TOKEN not in everything


def test_the_header_that_was_chosen(visits: LocalShop, wire: Wire) -> None:
    """The header that signature_header names is taken as the token too, and a later choice moves the token along."""
    made = visits.webhook(wire.url, headers={"X-OUR-TOKEN": TOKEN}, options={"signature_header": "X-Our-Token"})
    assert (made["secret"], made["headers"]) == (TOKEN, {})
    sent(visits, made, wire)
    assert (wire.values("x-our-token"), wire.values(HEADER)) == ([TOKEN], [])
    visits.change(made["id"], options={"signature_header": "X-Other"})
    sent(visits, made, wire)
    assert (wire.values("x-other"), wire.values("x-our-token"), wire.values(HEADER)) == ([TOKEN], [], [])
    visits.change(made["id"], options={"signature_header": None})
    done = sent(visits, made, wire)
    assert (wire.values("x-other"), wire.values(HEADER)) == ([], [TOKEN])
    assert TOKEN not in json.dumps(done)


def test_a_token_is_changed_as_a_header(visits: LocalShop, wire: Wire) -> None:
    """A patch of that header changes the secret at once, and leaves the other headers; null removes nothing of it."""
    made = visits.webhook(wire.url, headers={HEADER: "before", "X-Mine": "1"})
    visits.post(f"/v1/webhooks/{made['id']}/rotate-secret", {"overlap_s": 600})
    changed = visits.change(made["id"], headers={"x-webhook-signature": TOKEN})
    assert list(changed["headers"]) == ["X-Mine"]
    assert changed["secret_overlap_until"] is None
    sent(visits, made, wire)
    assert (wire.values(HEADER), wire.values("X-Mine")) == ([TOKEN], ["1"])
    visits.change(made["id"], headers={HEADER: None, "X-Mine": None})
    sent(visits, made, wire)
    assert (wire.values(HEADER), wire.values("X-Mine")) == ([TOKEN], [])
    newest = visits.get("/v1/audit")["data"]
    assert ["headers", "secret"] in [entry["detail"].get("changed") for entry in newest if entry["detail"]]


def test_a_header_becomes_the_token(visits: LocalShop, wire: Wire) -> None:
    """Choosing a header that is among the webhook's own is refused: it would be sent twice; given anew, it moves."""
    made = visits.webhook(wire.url, headers={"X-Api-Key": "old", HEADER: "t"})
    path = f"/v1/webhooks/{made['id']}"
    choice = {"signature_header": "x-api-key"}
    refused(visits.call("PATCH", path, {"options": choice}), "header_refused", "/options/signature_header")
    assert visits.change(made["id"], options=choice, headers={"X-API-KEY": TOKEN})["headers"] == {}
    sent(visits, made, wire)
    assert (wire.values("x-api-key"), wire.values(HEADER)) == ([TOKEN], [])


def test_signing_instead(visits: LocalShop, wire: Wire) -> None:
    """With signature hmac the header holds the digest of the body, which is no secret; another header can be chosen."""
    made = visits.webhook(wire.url, secret=TOKEN, options={"signature": "hmac"})
    for name in (HEADER, "X-Our-Digest"):
        if name != HEADER:
            visits.change(made["id"], options={"signature_header": name})
        done = sent(visits, made, wire)
        digest = hmac.digest(TOKEN.encode(), wire.arrivals[-1][1], "sha256").hex()
        assert wire.values(name) == [digest]
        assert done["attempts"][0]["request"]["headers"][name] == digest
        assert TOKEN not in json.dumps(done)


@pytest.mark.parametrize("options", [{}, {"signature": "hmac"}], ids=["token", "hmac"])
def test_rotation(visits: LocalShop, wire: Wire, options: Json) -> None:
    """Both ways rotate alike: the old secret counts until the overlap ends, and neither is shown."""
    made = visits.webhook(wire.url, secret=TOKEN, options=options)
    new = visits.post(f"/v1/webhooks/{made['id']}/rotate-secret", {"overlap_s": 600})["secret"]
    for secret in (TOKEN, new):
        if secret == new:
            visits.post(f"/v1/webhooks/{made['id']}/rotate-secret/activate")
        done = sent(visits, made, wire)
        signature = hmac.digest(secret.encode(), wire.arrivals[-1][1], "sha256").hex() if options else secret
        assert wire.values(HEADER) == [signature]
        assert not {TOKEN, new} & set(done["attempts"][0]["request"]["headers"].values())


def test_tokens_that_cannot_be(visits: LocalShop) -> None:
    """Two different secrets, a token beside a digest, or one that is no secret: refused, with pointers."""
    new = {"url": HOOK, "events": ["*"]}

    def post(**more: Any) -> Any:
        return visits.call("POST", "/v1/webhooks", {**new, **more})

    where = f"/headers/{HEADER}"
    refused(post(headers={HEADER: TOKEN}, secret="another"), "secret_invalid", "/secret", where)
    assert post(headers={HEADER: TOKEN}, secret=TOKEN).status == 201
    refused(post(headers={HEADER: TOKEN}, options={"signature": "hmac"}), "header_refused", where, "/options/signature")
    refused(post(headers={HEADER: "caf\u00e9"}), "secret_invalid", where)
    refused(post(headers={HEADER: ""}), "secret_invalid", where)
    refused(post(headers={HEADER: TOKEN, HEADER.lower(): "b"}), "header_refused", where, f"/headers/{HEADER.lower()}")
    refused(post(options={"signature_header": "Tocsin-Test"}), "option_invalid", "/options/signature_header")
    refused(post(headers={HEADER: TOKEN}, options={"signature": ["hmac"]}), "option_invalid", "/options/signature")
    made = visits.webhook(HOOK, secret=TOKEN, options={"signature": "hmac"})
    path = f"/v1/webhooks/{made['id']}"
    refused(visits.call("PATCH", path, {"headers": {HEADER: TOKEN}}), "header_refused", where, "/options/signature")
    to_token = {"options": {"signature": "token"}, "headers": {HEADER: "x" * 257}}
    refused(visits.call("PATCH", path, to_token), "secret_invalid", where)
    assert visits.change(made["id"], headers={HEADER: TOKEN}, options={"signature": "token"})["headers"] == {}


def test_other_dialects_keep_their_header(site: Site) -> None:
    """Where the signature's header is the dialect's own, nobody sets it."""
    cue = site.operator.shop("cue", "cue")
    answer = cue.call("POST", "/v1/webhooks", {"url": HOOK, "events": ["*"], "headers": {"Cue-Signature": TOKEN}})
    refused(answer, "header_refused", "/headers/Cue-Signature")
    made = cue.webhook(HOOK, headers={HEADER: TOKEN})
    assert (list(made["headers"]), made["secret"] == TOKEN) == ([HEADER], False)
