"""Postbacks: addresses with macros, checked when they are saved and filled with an event's values."""

import contextlib
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin import profiles
from tocsin.channels import macros
from tocsin.channels.occasion import Occasion
from tocsin.channels.options import PostbackOptions
from tocsin.channels.postback import (
    MAX_SENT,
    check_macros,
    details_of,
    parse_postback,
    render_postback,
    shown,
    shown_form,
)
from tocsin.clock import parse_rfc3339
from tocsin.errors import Invalid
from tocsin.model import EventType
from tocsin.profiles.details import DETAILS
from tocsin.security.guard import Guard

URL = "https://tracker.example/in/postback?cid={click_id}&payout={payout}&cur={currency}&status={status}"
GET = PostbackOptions()
POST = PostbackOptions(method="POST")
STANDARD = profiles.load("standard")
CONVERSION = {
    "conversion_id": "cnv_1",
    "click_id": "clk 1/ü&=",
    "transaction_id": "T-1",
    "campaign": {"id": "c1", "name": "Sommer & Co"},
    "payout": "45.00",
    "currency": "EUR",
    "status": "approved",
    "visitor": {"country": "DE", "ip": "203.0.113.9"},
    "items": [{"sku": "a"}, {"sku": "b"}],
    "flags": [1, "x", None, True],
}


def occasion(data=CONVERSION, type="conversion.created", profile=STANDARD):
    return Occasion(
        event_id="evt_1",
        type=type,
        timestamp=parse_rfc3339("2026-03-14T09:26:53.500Z"),
        data=data,
        profile=profile,
        account_name="Acme",
    )


def sent(url, data=CONVERSION, options=GET, **more):
    details = details_of(occasion(data, **more), account="acme-1", webhook="wh_1")
    return render_postback(parse_postback(url), details, options)


def query_of(url, data=CONVERSION, **more):
    return dict(parse_qsl(urlsplit(sent(url, data, **more).url).query, keep_blank_values=True))


def refusal(call, *args):
    with pytest.raises(Invalid) as refused:
        call(*args)
    assert {fault.pointer for fault in refused.value.faults} == {"/url"}
    return refused.value.code, " ".join(fault.detail for fault in refused.value.faults)


# --- what is sent ---------------------------------------------------------------------------------------------------


def test_a_get_has_its_values_percent_encoded_in_the_address():
    """UTF-8, a blank as %20, nothing that could end a value."""
    request = sent(URL)
    assert (request.method, request.body) == ("GET", b"")
    assert request.url == (
        "https://tracker.example/in/postback?cid=clk%201%2F%C3%BC%26%3D&payout=45.00&cur=EUR&status=approved"
    )
    assert ("Webhook-Id", "evt_1") in request.headers


def test_a_post_has_the_query_as_a_form():
    """The address is without it then."""
    request = sent(URL, options=POST)
    assert (request.method, request.url) == ("POST", "https://tracker.example/in/postback")
    assert ("Content-Type", "application/x-www-form-urlencoded") in request.headers
    assert dict(parse_qsl(request.body.decode())) == {
        "cid": "clk 1/ü&=",
        "payout": "45.00",
        "cur": "EUR",
        "status": "approved",
    }


def test_what_every_event_has():
    """Type, ids and instant, in the forms that trackers take."""
    url = "https://t.example/?" + "&".join(f"{name}={{{name}}}" for name in macros.OWN)
    assert query_of(url) == {
        "event": "conversion.created",
        "event_id": "evt_1",
        "timestamp": "1773480413",
        "time": "2026-03-14T09:26:53Z",
        "account": "acme-1",
        "webhook": "wh_1",
    }


def test_a_value_that_is_missing_is_empty():
    """The parameter stays, so that the receiver sees that there is none."""
    assert query_of("https://t.example/?a={sub1}&b={data.none}&c={payout}x", {"payout": None}) == {
        "a": "",
        "b": "",
        "c": "x",
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("visitor.country", "DE"),
        ("items.1.sku", "b"),
        ("items.9.sku", ""),
        ("flags", "1,x,,true"),
        ("visitor", ""),
        ("none.at.all", ""),
    ],
)
def test_a_path_leads_into_the_events_data(path, text):
    """Through objects by their keys, through lists by number; what is no single value is empty."""
    assert query_of(f"https://t.example/?v={{data.{path}}}") == {"v": text}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (12, "12"),
        (2**80, str(2**80)),
        (0.5, "0.5"),
        (Decimal("45.00"), "45.00"),
        (Decimal(45), "45.00"),
        (Decimal("0.5"), "0.50"),
        (Decimal("0.0005"), "0.0005"),
        (Decimal("1E+3"), "1000"),
        (None, ""),
        ("a\x00\r\nb\x85c", "a b c"),
        ("x" * 2_000, "x" * 512),
        (("a_b", "c"), "a_b,c"),
        ((("vpn", 3), ("tor", 1)), "vpn,tor"),
        ({"a": 1}, ""),
        ([["a"]], ""),
    ],
)
def test_how_values_are_written(value, text):
    """For programs: full stops in numbers, no control characters, no more than 512 characters."""
    assert macros.written(value) == text


def test_macros_can_stand_in_the_path():
    """As one segment or a part of one: a slash of a value's is none of the path's."""
    assert sent("https://t.example/p/{click_id}/x-{payout}?a=1").url == (
        "https://t.example/p/clk%201%2F%C3%BC%26%3D/x-45.00?a=1"
    )


@pytest.mark.parametrize("value", [".", ".."])
def test_a_value_cannot_lead_up_the_path(value):
    """Two dots as a segment would call another address of the receiver's."""
    with pytest.raises(Invalid, match="leads to another place"):
        sent("https://t.example/p/{sub1}/x", {"sub1": value})
    assert sent("https://t.example/p/a{sub1}/x", {"sub1": value}).url == f"https://t.example/p/a{value}/x"


def test_an_address_that_becomes_too_long_is_not_called():
    """It would be refused by most servers; the event is at fault, not the webhook."""
    url = "https://t.example/?" + "&".join(f"p{n}={{data.long}}" for n in range(3))
    with pytest.raises(Invalid, match=f"more than {MAX_SENT} characters"):
        sent(url, {"long": "😀" * 512})
    assert len(sent(url, {"long": "x" * 10_000}).url) < 2_000


def test_the_status_is_said_in_the_receivers_words():
    """By the event's own word, else by its type; what is not mapped stays."""
    options = PostbackOptions(statuses={"approved": "1", "conversion.rejected": "3"})
    url = "https://t.example/?s={status}"
    assert query_of(url, options=options) == {"s": "1"}
    assert query_of(url, {"status": "pending"}, options=options) == {"s": "pending"}
    assert query_of(url, {}, type="conversion.rejected", options=options) == {"s": "3"}
    assert query_of(url, {}, options=options) == {"s": ""}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    st.sampled_from([GET, POST]),
)
def test_whatever_the_data_are_the_address_stays_the_receivers(value, options):
    """Host, path and parameters are those that were saved; the guard takes what is dialled."""
    data = {"click_id": value, "sub1": value, "v": value, "payout": value}
    url = "https://t.example/a/{sub1}?v={data.v}&cid={click_id}&p={payout}"
    with contextlib.suppress(Invalid):
        request = sent(url, data, options)
        parts = urlsplit(request.url)
        assert (parts.scheme, parts.netloc, parts.path.count("/")) == ("https", "t.example", 2)
        said = request.body.decode() if options is POST else parts.query
        assert [name for name, _ in parse_qsl(said, keep_blank_values=True)] == ["v", "cid", "p"]
        guard = Guard(allow_http=False, allow_networks=())
        if len(request.url) <= 2_048:
            assert guard.parse(request.url).host == "t.example"


# --- what is saved --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("https://{country}.t.example/?a=1", "macros stand in the path or the query"),
        ("{data.url}?a=1", "begins with https://"),
        ("https://t.example:{sub1}/", "macros stand in the path or the query"),
        ("https://{sub1}@t.example/", "macros stand in the path or the query"),
        ("{event}://t.example/", "macros stand in the path or the query"),
        ("https://t.example?{country}@evil.example/", None),
        ("https://t.example/?a={", "%7B"),
        ("https://t.example/?a=}", "%7B"),
        ("https://t.example/?a={}", "%7B"),
        ("https://t.example/?a={click id}", "%7B"),
        ('https://t.example/?a={"b":{click_id}}', "%7B"),
        ("https://t.example/?a={{click_id}}", "one brace on each side"),
        ("https://t.example/?a=${click_id}", "not ${payout}"),
        ("https://t.example/?a=" + "x" * 2_048, "at most 2048"),
        ("t.example", "begins with https://"),
        ("", "begins with https://"),
    ],
)
def test_braces_are_macros_or_are_refused(url, why):
    """And macros decide nothing about where an address leads."""
    if why is None:
        parse_postback(url)
    else:
        code, detail = refusal(parse_postback, url)
        assert code == "url_refused"
        assert why in detail


def test_the_guard_judges_the_address_with_samples():
    """A macro's braces are none of its concern, but the host is."""
    guard = Guard(allow_http=False, allow_networks=())
    address = parse_postback(URL)
    assert guard.parse(address.dial).host == "tracker.example"
    assert address.dial == "https://tracker.example/in/postback?cid=x&payout=x&cur=x&status=x"
    with pytest.raises(Invalid, match="not on the public internet"):
        guard.parse(parse_postback(URL.replace("tracker.example", "127.0.0.1")).dial)


CONVERSION_TYPE = STANDARD.catalogue["conversion.created"].event_type


def check(url, types=(CONVERSION_TYPE,), profile=STANDARD):
    check_macros(parse_postback(url), profile.messages.kinds, types)


@pytest.mark.parametrize("name", profiles.names())
def test_every_detail_of_every_dialect_is_a_macro(name):
    """Also those that a dialect adds."""
    profile = profiles.load(name)
    types = [entry.event_type for entry in profile.catalogue.values()]
    known = [*profile.messages.kinds, *macros.OWN]
    assert set(DETAILS) <= set(known)
    for at in range(0, len(known), 50):
        url = "https://t.example/?" + "&".join(f"{{{one}}}" for one in known[at : at + 50])
        check(url, types, profile)


@pytest.mark.parametrize("name", profiles.names())
def test_every_value_of_every_example_can_be_named(name):
    """A path to what the document itself shows is never refused, and finds it."""
    for entry in profiles.load(name).catalogue.values():
        example = orjson.loads(orjson.dumps(entry.event_type.example))
        for path, value in scalars(example, ()):
            if all(
                set(step) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") for step in path
            ):
                check(f"https://t.example/?v={{data.{'.'.join(path)}}}", [entry.event_type])
                assert macros.find(example, path) == value


def scalars(value, above):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        if isinstance(inner, dict | list):
            yield from scalars(inner, (*above, str(key)))
        elif inner is not None:
            yield (*above, str(key)), inner


@pytest.mark.parametrize(
    ("macro", "meant"),
    [
        ("clickid", "{click_id}"),
        ("click-id", "{click_id}"),
        ("Payout", "{payout}"),
        ("payuot", "{payout}"),
        ("txid", "{transaction_id}"),
        ("aff_sub3", "{sub3}"),
        ("sub10", "{sub1}"),
        ("event_type", "{event}"),
        ("goal", "{event}"),
        ("account_id", "{account}"),
        ("data.visitor.contry", "{data.visitor.country}"),
        ("data.visiter.country", "{data.visitor}"),
        ("data.campain", "{data.campaign}"),
        ("xyzzy", "the reference lists them"),
        ("data", "{data.visitor.country}"),
        ("data.", "keys joined by full stops"),
        ("data.a..b", "keys joined by full stops"),
        ("data." + ".".join("a" * 9), "keys joined by full stops"),
        ("data.qqqqq", "no event type of this webhook has it"),
    ],
)
def test_a_macro_that_is_unknown_is_refused_with_what_was_meant(macro, meant):
    """A slip is found when the address is saved, not when a partner misses its conversions."""
    code, detail = refusal(check, f"https://t.example/?a={{{macro}}}")
    assert code == "unknown_macro"
    assert f"{{{macro}}}" in detail
    assert meant in detail


def own_type(schema, example=None):
    return EventType(
        name="own", description="", schema=schema, example=example or {}, source="account", extension=False
    )


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": "object"},
        {"properties": {"a": {"type": "object", "properties": {"b": {"properties": {"c": {}}}}}}},
        {"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"properties": {"b": {"type": "object"}}}}},
        {"allOf": [{"properties": {"z": {}}}, {"anyOf": [{"properties": {"a": {}}}]}]},
        {"properties": {"z": {}}, "additionalProperties": {"type": "object"}},
        {"properties": {"z": {}}, "patternProperties": {"^a": {}}},
        {"properties": {"a": {"type": "array", "items": {"properties": {"z": {}}}}}},
        {"properties": {"a": True}},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {"allOf": "wrong", "properties": []},
    ],
)
def test_a_path_that_a_schema_lists_or_leaves_open_is_taken(schema):
    """Only what it lists otherwise counts against a path."""
    check("https://t.example/?v={data.a.b.c}", [own_type(schema)])


def test_a_path_counts_where_any_of_the_types_has_it():
    """A webhook has several types; what one of them lacks is empty there."""
    first, second = own_type({"properties": {"a": {}}}), own_type({"properties": {"b": {}}})
    check("https://t.example/?v={data.b}", [first, second])
    check("https://t.example/?v={data.c}", [first, own_type({"properties": {"b": {}}}, {"c": 1})])
    assert "no event type" in refusal(check, "https://t.example/?v={data.zzz}", [first, second])[1]


def test_a_schema_that_leads_to_itself_is_looked_at_once():
    """However it is knotted, checking ends."""
    knot = {"allOf": [{"$ref": "#"}] * 50, "$ref": "#", "properties": {"again": {"$ref": "#"}}}
    check("https://t.example/?v={data.again.again.again}", [own_type(knot)])
    said = refusal(check, "https://t.example/?v={data.again.agian}", [own_type(knot)])[1]
    assert "{data.again.again}" in said


@given(st.text(max_size=40) | st.text("{}$%abc.?&=/@:", max_size=40))
def test_any_text_is_taken_or_refused(text):
    """And what is taken can be filled and shown."""
    with contextlib.suppress(Invalid):
        address = parse_postback("https://t.example/" + text)
        render_postback(address, {"event_id": "evt_1", "data": {}}, GET)
        check_macros(address, DETAILS, [CONVERSION_TYPE])


# --- what is shown --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        (URL, URL),
        ("https://t.example/?key=abc&a=1", "https://t.example/?key=***&a=1"),
        ("https://t.example/?api_key=abc", "https://t.example/?api_key=***"),
        ("https://t.example/?apikey=abc&accessToken=x%20y", "https://t.example/?apikey=***&accessToken=***"),
        ("https://t.example/?auth=abc&password=a=b", "https://t.example/?auth=***&password=***"),
        ("https://t.example/?X-Auth=abc&sig=1", "https://t.example/?X-Auth=***&sig=***"),
        ("https://t.example/?security%5Ftoken=abc", "https://t.example/?security%5Ftoken=***"),
        ("https://t.example/?token={click_id}&secret=x{click_id}", "https://t.example/?token={click_id}&secret=***"),
        ("https://t.example/?token=", "https://t.example/?token="),
        ("https://t.example/?keyword=shoes&monkeys=1&bypass=1", "https://t.example/?keyword=shoes&monkeys=1&bypass=1"),
        ("https://t.example/key/abc", "https://t.example/key/abc"),
    ],
)
def test_credentials_in_an_address_are_not_shown(url, seen):
    """By the parameter's name; a macro is none."""
    assert shown(url) == seen
    assert parse_postback(url).shown == seen


def test_what_was_sent_is_shown_without_credentials_too():
    """In the log of attempts, as address or as form."""
    url = "https://t.example/?token=abc&cid={click_id}"
    assert shown(sent(url, {"click_id": "c1"}).url) == "https://t.example/?token=***&cid=c1"
    assert shown_form(sent(url, {"click_id": "c1"}, POST).body.decode()) == "token=***&cid=c1"
