"""The forms of all six dialects as data: bodies, headers, secrets, options. CONTRACT §4."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.errors import Invalid
from tocsin.profiles import Profile
from tocsin.profiles.jsjson import stabilise

DATA = b'{"click_id":"clk_1","visitor":{"id":"vis_1"}}'
SECRET = "your_signing_secret_here"
AT = 1_773_480_500_999
OTHERS = ("cloakradar", "clickdefender", "trcker", "visits", "cue")


def _hex(message: bytes) -> str:
    return hmac.new(SECRET.encode(), message, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    ("vendor", "body"),
    [
        ("standard", b'{"type":"ad.click","timestamp":"2026-03-14T09:26:53Z","data":%b}'),
        (
            "cloakradar",
            b'{"event":"ad.click","timestamp":"2026-03-14T09:26:53Z","webhook_id":"wh_06f3k9w2zq8rv","data":%b}',
        ),
        (
            "trcker",
            b'{"id":"evt_06f3k9w2zq8rt","event":"ad.click","createdAt":"2026-03-14T09:26:53.080Z",%b}'
            % b'"brandId":"acc_06f3k9w2zq8rw","data":%b',
        ),
        ("visits", b"%b"),
        (
            "cue",
            b'{"id":"evt_06f3k9w2zq8rt","type":"ad.click","created":"2026-03-14T09:26:53Z","data":%b,"api_version":"v1"}',
        ),
    ],
)
def test_bodies(dialects: Mapping[str, Profile], make_facts: Any, vendor: str, body: bytes) -> None:
    """The envelope of each dialect, byte by byte, with the data's own bytes inside."""
    assert dialects[vendor].render_body(make_facts(data=DATA)) == body % DATA


@pytest.mark.parametrize(
    ("data", "members"),
    [
        (DATA, b',"click_id":"clk_1","visitor":{"id":"vis_1"}'),
        (b"{}", b""),
        (b'{"property":{"id":"forged"},"n":1}', b',"n":1'),
        (b'{"n":1,"event":"forged","timestamp":0}', b',"n":1'),
        (b'{"visitor":{"event":"kept"}}', b',"visitor":{"event":"kept"}'),
    ],
)
def test_a_merged_body(dialects: Mapping[str, Profile], make_facts: Any, data: bytes, members: bytes) -> None:
    """The data's keys stand beside the envelope's and cannot replace them."""
    facts = make_facts(data=data, account_external_id="prop_abc123")
    assert dialects["clickdefender"].render_body(facts) == (
        b'{"event":"ad.click","timestamp":"2026-03-14T09:26:53Z",'
        b'"property":{"id":"prop_abc123","name":"Fibre \xe2\x80\x9cSpring\xe2\x80\x9d"}' + members + b"}"
    )


def test_array_indices_are_merged_where_javascript_puts_them(
    dialects: Mapping[str, Profile], make_facts: Any, node: Any
) -> None:
    """Keys such as "7" come before the envelope's: JavaScript would move them there."""
    body = dialects["clickdefender"].render_body(make_facts(data=b'{"7":1,"12":2,"a":3,"event":"forged"}'))
    assert body.startswith(b'{"7":1,"12":2,"event":"ad.click",')
    assert body == node.reparse(body)


_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_data = st.dictionaries(
    st.one_of(_texts, st.sampled_from(["event", "property", "id", "7", "10", "data", "__proto__"])),
    st.one_of(_texts, st.integers(-9, 9), st.floats(-1e6, 1e6), st.lists(_texts, max_size=2)),
    max_size=5,
)


@settings(max_examples=150)
@given(data=_data, name=_texts, external_id=st.none() | st.from_regex(r"\A[A-Za-z0-9_.:-]{1,12}\Z"))
def test_every_body_passes_through_javascript(
    dialects: Mapping[str, Profile],
    make_facts: Any,
    node: Any,
    data: dict[str, Any],
    name: str,
    external_id: str | None,
) -> None:
    """Whatever the data and the account's name: JavaScript writes the body back as it was sent."""
    stable = stabilise(orjson.dumps(data))[1]
    facts = make_facts(data=stable, account_name=name, account_external_id=external_id)
    for vendor, profile in dialects.items():
        body = profile.render_body(facts)
        assert node.reparse(body) == body, vendor
        if vendor not in ("clickdefender", "visits"):
            assert b'"data":' + stable in body


def test_signatures(dialects: Mapping[str, Profile], make_facts: Any) -> None:
    """Each dialect's headers, in full, computed here a second time."""
    facts = make_facts(data=DATA)
    body = {vendor: profile.render_body(facts) for vendor, profile in dialects.items()}
    headers = {vendor: dict(dialects[vendor].sign(facts, body[vendor], (SECRET,), AT, {})) for vendor in OTHERS}
    evt = {"Webhook-Id": "evt_06f3k9w2zq8rt"}
    assert headers["cloakradar"] == evt | {"X-CloakRadar-Signature": "sha256=" + _hex(body["cloakradar"])}
    assert headers["clickdefender"] == evt | {"X-ClickDefender-Signature": _hex(body["clickdefender"])}
    assert headers["cue"] == evt | {"Cue-Signature": "sha256=" + _hex(body["cue"])}
    assert headers["visits"] == evt | {"X-Webhook-Event": "ad.click", "X-Webhook-Signature": SECRET}
    key = headers["trcker"].pop("X-Trcker-Webhook-Id")
    assert key.startswith("wh_")
    assert headers["trcker"] == evt | {
        "X-Trcker-Event": "ad.click",
        "X-Trcker-Signature": "t=1773480500,v1=" + _hex(b"1773480500." + body["trcker"]),
    }


def test_a_delivery_key_tells_deliveries_apart(dialects: Mapping[str, Profile], make_facts: Any) -> None:
    """The same on retries, another for another event or webhook: a receiver may deduplicate by it."""

    def key(at: int = AT, **changed: str) -> str:
        facts = make_facts(**changed)
        return dict(dialects["trcker"].sign(facts, b"{}", (), at, {}))["X-Trcker-Webhook-Id"]

    keys = {key(), key(event_id="evt_0000000000001"), key(webhook_id="wh_0000000000001")}
    assert len(keys) == 3
    assert key(at=AT + 60_000) == key()


@pytest.mark.parametrize("vendor", [*OTHERS, "standard"])
def test_without_a_secret_nothing_is_signed(dialects: Mapping[str, Profile], make_facts: Any, vendor: str) -> None:
    """The other headers are sent all the same."""
    headers = {name.lower() for name, _ in dialects[vendor].sign(make_facts(), b"{}", (), AT, {})}
    assert "webhook-id" in headers
    assert not any("signature" in name for name in headers)


def test_options_choose_scheme_and_header(dialects: Mapping[str, Profile], make_facts: Any) -> None:
    """`visits`: a token or a digest, in the header that the webhook names."""
    visits, facts = dialects["visits"], make_facts()
    signed = dict(visits.sign(facts, b"{}", (SECRET,), AT, {"signature": "hmac", "signature_header": "X-Our-Sig"}))
    assert signed["X-Our-Sig"] == _hex(b"{}")
    assert "X-Webhook-Signature" not in signed
    token = dict(visits.sign(facts, b"{}", (SECRET,), AT, {"signature": "token", "digest": {"max": 1}}))
    assert token["X-Webhook-Signature"] == SECRET


@pytest.mark.parametrize(
    ("options", "pointers"),
    [
        ({"signature": "md5"}, ["/options/signature"]),
        ({"signature": ["hmac"]}, ["/options/signature"]),
        ({"signature_header": "X Y"}, ["/options/signature_header"]),
        ({"signature_header": "X-Y\r\nA: b"}, ["/options/signature_header"]),
        ({"signature_header": ""}, ["/options/signature_header"]),
        ({"signature_header": "Host"}, ["/options/signature_header"]),
        ({"signature_header": "Content-Type"}, ["/options/signature_header"]),
        ({"signature_header": "webhook-id"}, ["/options/signature_header"]),
        ({"signature_header": "x-webhook-event"}, ["/options/signature_header"]),
        ({"signature_header": 7, "signature": 7}, ["/options/signature", "/options/signature_header"]),
    ],
)
def test_options_without_sense_are_refused(
    dialects: Mapping[str, Profile], options: dict[str, object], pointers: list[str]
) -> None:
    """Before they are saved, with a pointer to each."""
    with pytest.raises(Invalid) as caught:
        dialects["visits"].check_options(options)
    assert [fault.pointer for fault in caught.value.faults] == pointers
    dialects["visits"].check_options({"signature": "hmac", "signature_header": "X-Our-Sig", "other": 1})


def test_the_headers_that_are_their_own(dialects: Mapping[str, Profile]) -> None:
    """CONTRACT §8: a dialect's own headers cannot be set, but for the token of `visits`."""
    own = {vendor: dialects[vendor].own_headers for vendor in OTHERS}
    assert own == {
        "cloakradar": {"webhook-id", "x-cloakradar-signature"},
        "clickdefender": {"webhook-id", "x-clickdefender-signature"},
        "trcker": {"webhook-id", "x-trcker-signature", "x-trcker-event", "x-trcker-webhook-id"},
        "visits": {"webhook-id", "x-webhook-event"},
        "cue": {"webhook-id", "cue-signature"},
    }
    assert [vendor for vendor in OTHERS if dialects[vendor].shows_secret] == ["visits"]
    assert not any(dialects[vendor].signs_with_both for vendor in OTHERS)


def test_their_secrets(dialects: Mapping[str, Profile]) -> None:
    """Any visible text is taken; one is made where none is given, unless the dialect then goes unsigned."""
    made = {vendor: dialects[vendor].make_secret(bytes) for vendor in OTHERS}
    assert [vendor for vendor in OTHERS if made[vendor] is None] == ["trcker"]
    for vendor in OTHERS:
        dialects[vendor].check_secret(made[vendor] or SECRET)
        for secret in ("", " blanks ", "line\n", "a\tb", "é", "x" * 257):
            with pytest.raises(Invalid) as caught:
                dialects[vendor].check_secret(secret)
            assert caught.value.code == "secret_invalid"


def test_their_figures(dialects: Mapping[str, Profile]) -> None:
    """What differs from dialect to dialect is read from the data."""
    assert dialects["clickdefender"].limits.webhooks == 5
    assert dialects["clickdefender"].limits.https_only
    assert dialects["cloakradar"].disable.on_exhausted
    assert dialects["trcker"].key_prefix == "tk_"
    assert dialects["trcker"].schedule_s == (1, 5, 30, 300, 1800, 7200)
    assert not any(dialects[vendor].custom_event_types for vendor in OTHERS)
