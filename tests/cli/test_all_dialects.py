"""``listen``, ``sign`` and ``verify`` with all dialects at once: nobody tells them which one speaks."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Terminal
from tests.support.server import Server
from tocsin import profiles

# What each webhook is made with. The keys are its paths.
WEBHOOKS: Mapping[str, tuple[str, dict[str, Any]]] = {
    "standard": ("standard", {"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
    "cloakradar": ("cloakradar", {"secret": "cloakradar-secret"}),
    "clickdefender": ("clickdefender", {"secret": "clickdefender-secret"}),
    "trcker": ("trcker", {"secret": "trcker-secret"}),
    "visits": ("visits", {"headers": {"X-Webhook-Signature": "visits-token"}}),
    "visits-hmac": ("visits", {"secret": "visits-secret", "options": {"signature": "hmac"}}),
    "visits-named": ("visits", {"secret": "visits-own", "options": {"signature_header": "X-Crm-Key"}}),
    "cue": ("cue", {"secret": "cue-secret"}),
}
UNSIGNED = "trcker-unsigned"


def secret_of(more: Mapping[str, Any]) -> str:
    return more.get("secret") or next(iter(more["headers"].values()))


def test_one_listener_for_all(server: Server, listen, terminal: Terminal, tmp_path: Path) -> None:
    """Deliveries of one server's accounts, one of each dialect, arrive at one listener that was given all secrets: each
    is verified and named, with its event's type and id, in the lines and in the JSON (which the page shows).
    """
    secrets = [part for _, more in WEBHOOKS.values() for part in ("--secret", secret_of(more))]
    listener = listen("--json", *secrets)
    (tmp_path / "lines").mkdir()
    terminal.folder = tmp_path / "lines"
    reader = listen("--hide", "headers", "--hide", "body", *secrets)
    shops = {name: server.operator.shop(name, name) for name in profiles.names()}
    sent: dict[str, str] = {}
    for at, (name, more) in {**WEBHOOKS, UNSIGNED: ("trcker", {})}.items():
        shop = shops[name]
        for there in (listener, reader):
            hook = shop.webhook(f"{there.url}/{at}", **more)
            type_ = shop.get("/v1/event-types")["data"][0]["name"]
            event = shop.publish(type_)
            sent[f"/{at}", there.url] = event["id"]
            shop.wait_delivery(event["id"], hook["id"], "succeeded")
            shop.post(f"/v1/webhooks/{hook['id']}/disable")
    arrivals = {one["path"]: one for one in listener.arrivals(len(WEBHOOKS) + 1)}
    for at, (name, _) in WEBHOOKS.items():
        one = arrivals[f"/{at}"]
        type_ = shops[name].get("/v1/event-types")["data"][0]["name"]
        told = (one["verified"], one["profile"], one["type"], one["id"], one["why"])
        assert told == (True, name, type_, sent[f"/{at}", listener.url], None), one
        assert f"verified ({name})" in reader.text
        assert f"{type_} {sent[f'/{at}', reader.url]} at /{at}" in reader.text
    remarks = {at: arrivals[f"/{at}"]["remark"] for at in WEBHOOKS}
    assert "x-webhook-signature holds the secret itself" in remarks["visits"]
    assert "x-webhook-signature holds an HMAC of the body" in remarks["visits-hmac"]
    assert "x-crm-key holds the secret itself" in remarks["visits-named"]
    assert remarks["cue"].startswith("secret 8 of 8 fits")
    unsigned = arrivals[f"/{UNSIGNED}"]
    assert (unsigned["verified"], unsigned["profile"], unsigned["cause"]) == (False, "trcker", "missing_header")
    assert "made without a secret is not signed" in unsigned["why"]
    assert "NOT VERIFIED (trcker): missing_header" in reader.text


def test_without_secrets_dialects_are_named(server: Server, listen) -> None:
    """A listener without secrets checks nothing, but says whose requests they are."""
    listener = listen("--json")
    for name in profiles.names():
        shop = server.operator.shop(name, name)
        hook = shop.webhook(f"{listener.url}/{name}", secret=secret_of(WEBHOOKS[name][1]))
        shop.post(f"/v1/webhooks/{hook['id']}/test")
    for one in listener.arrivals(len(profiles.names())):
        assert (one["verified"], one["profile"]) == (None, one["path"].removeprefix("/"))
        assert one["type"] in profiles.load(one["profile"]).catalogue


@pytest.mark.parametrize("at", WEBHOOKS)
def test_what_is_signed_verifies(terminal: Terminal, at: str) -> None:
    """What ``sign`` signs, ``verify`` verifies without being told the dialect; another secret's does not."""
    name, more = WEBHOOKS[at]
    profile = profiles.load(name)
    type_ = next(iter(profile.catalogue))
    body = dict.fromkeys(profile.envelope_keys, "x") | profile.catalogue[type_].event_type.example
    for source, value in {"event.id": "evt_0abc", "event.type": type_}.items():
        if profile.key_of(source):
            body[profile.key_of(source) or ""] = value
    (terminal.folder / "body.json").write_text(json.dumps(body))
    asked = ["sign", "body.json", "--profile", name, "--secret", secret_of(more)]
    asked += ["--options", json.dumps(more.get("options", {}))]
    asked += ["--type", type_] if name == "visits" else []
    headers = terminal.json(*asked)
    if name == "trcker":
        assert headers["X-Trcker-Event"] == type_
        assert headers["X-Trcker-Webhook-Id"].startswith("wh_")
        assert headers["Webhook-Id"] == "evt_0abc"
        assert terminal.json(*asked)["X-Trcker-Webhook-Id"] == headers["X-Trcker-Webhook-Id"]
    given = [part for key, value in headers.items() for part in ("--header", f"{key}: {value}")]
    told = terminal.json("verify", "body.json", *given, webhook_secret=secret_of(more))
    assert (told["verified"], told["profile"], told["type"]) == (True, name, type_)
    assert told["id"] == next(value for key, value in headers.items() if key.lower() == "webhook-id")
    other = "whsec_" + base64.b64encode(b"o" * 32).decode() if name == "standard" else "another"
    ran = terminal("verify", "body.json", *given, webhook_secret=other)
    assert (ran.code, ran.out) == (6, "")
    assert f"not verified ({name}): " in ran.err


def test_what_sign_cannot_know(terminal: Terminal) -> None:
    """A type that is in a header and not in the body must be given; two secrets sign only where a header has room."""
    ran = terminal("sign", "-", "--profile", "visits", "--secret", "token", stdin=b"{}")
    assert ran.code == 2
    assert "--type" in ran.err
    assert "NEW_VISIT" in ran.err
    ran = terminal("sign", "-", "--profile", "cue", "--secret", "one", "--secret", "two", stdin=b"{}")
    assert ran.code == 2
    assert "one secret" in ran.err


def test_which_secret_fits(terminal: Terminal) -> None:
    """With the new and the old secret ``verify`` says which one signs now, and what that means."""
    (terminal.folder / "body.json").write_text('{"id":"evt_1","type":"ad.click"}')
    headers = terminal.json("sign", "body.json", "--profile", "cue", "--secret", "old")
    given = [part for key, value in headers.items() for part in ("--header", f"{key}: {value}")]
    out = terminal.ok("verify", "body.json", *given, "--secret", "new", "--secret", "old").out
    assert "secret 2 of 2 fits" in out
    assert "the old one signs until the overlap ends" in out
    one, two = ("whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"1", b"2"))
    both = ("--secret", one, "--secret", two)
    for signing, words in ((both, "two of the secrets fit"), (both[2:], "only secret 2 of 2 fits")):
        headers = terminal.json("sign", "body.json", *signing)
        given = [part for key, value in headers.items() for part in ("--header", f"{key}: {value}")]
        assert words in terminal.ok("verify", "body.json", *given, *both).out
