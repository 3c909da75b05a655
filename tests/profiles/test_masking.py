"""IP addresses in bodies: found without parsing, exactly where parsing finds them, and masked."""

import ipaddress
import json
import shutil
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import Millis
from tocsin.engine.rendering import masks_ips
from tocsin.model import Account, AccountId
from tocsin.profiles.jsjson import stabilise
from tocsin.profiles.loader import DATA, read_profile
from tocsin.profiles.masking import mask_ips, mask_text

ENDINGS = (
    "ip", "ips", "ipv4", "ipv6", "addr", "address", "addresses", "forwarded_for", "forwarded-for", "forwardedfor"
)  # fmt: skip


# --- what is masked, and into what ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("192.168.14.7", "192.168.x.x"),
        ("8.8.8.8", "8.8.x.x"),
        ("255.255.255.255", "255.255.x.x"),
        ("203.000.113.009", "203.000.x.x"),
        ("203.0.113.9:51234", "203.0.x.x:51234"),
        ("203.0.113.0/24", "203.0.x.x/24"),
        ("203.0.113.9, 70.41.3.18,150.172.238.178", "203.0.x.x, 70.41.x.x,150.172.x.x"),
        ("203.0.113.9\n", "203.0.x.x\n"),
        ("for=203.0.113.9;proto=https", "for=203.0.x.x;proto=https"),
        ("2001:db8:85a3::8a2e:370:7334", "2001:db8:x:x:x:x:x:x"),
        ("2001:0DB8:85A3:0000:0000:8A2E:0370:7334", "2001:db8:x:x:x:x:x:x"),
        ("[2001:db8::1]:443", "[2001:db8:x:x:x:x:x:x]:443"),
        ("fe80::1%eth0", "fe80:0:x:x:x:x:x:x"),
        ("::1", "0:0:x:x:x:x:x:x"),
        ("::ffff:192.168.14.7", "::ffff:192.168.x.x"),
        ("64:ff9b::192.0.2.33", "64:ff9b:x:x:x:x:x:x"),
    ],
)
def test_an_address_keeps_its_network(text: str, masked: str):
    """IPv4 keeps two parts, IPv6 two groups, and what stands beside an address stays."""
    assert mask_text(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "",
        "192.168.x.x",
        "2001:db8:x:x:x:x:x:x",
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "v1.2.3.4",
        "1.2.3.4-beta",
        "١.٢.٣.٤",
        "00:1b:44:11:3a:b7",
        "12:30:45",
        "1::2::3",
        "::" + "0" * 100,
        "1 Main Street, 10115 Berlin",
        "ops@example.com",
    ],
)
def test_what_is_no_address_stays(text: str):
    """Masked addresses, versions, MAC addresses, times and postal addresses are not touched."""
    assert mask_text(text) == text


@pytest.mark.parametrize(
    "name",
    ["ip", "IP", "client_ip", "remoteIp", "x-real-ip", "userip", "visitor.ip", "IP Address", "ip_address", "ipAddress",
     "ipv6", "remote_addr", "REMOTE_ADDR", "X-Forwarded-For", "visitorIPs", "ip_addresses", "straße_ip"],
)  # fmt: skip
def test_names_that_carry_addresses(name: str):
    """Names of the usual makings are recognised in any case and any place."""
    for value, masked in (("198.51.100.7", "198.51.x.x"), (["198.51.100.7", "x"], ["198.51.x.x", "x"])):
        for wrap in (lambda it: it, lambda it: {"a": 1, "visitor": it}, lambda it: [0, [it]]):
            data = orjson.dumps(wrap({"first": "198.51.100.7", name: value, "last": True}))
            assert json.loads(mask_ips(data)) == wrap({"first": "198.51.100.7", name: masked, "last": True})


@pytest.mark.parametrize(
    "data",
    [
        {"browser_version": "120.0.0.1"},
        {"ip_country": "198.51.100.7", "ip2": "198.51.100.7"},
        {"landing_url": "https://example.com/?ip=198.51.100.7"},
        {"note": ',"ip":"198.51.100.7"', 'x","ip': "198.51.100.7"},
        {"a,": "ip", "b{": "ip", "c": ["ip", "198.51.100.7"]},
        {"ip": 3221225985, "client_ip": None, "remote_ip": {"value": "198.51.100.7"}, "ips": [1, "198.51.100.7"]},
        {"zip": "10115", "email_address": "ops@example.com", "ip": "192.168.x.x"},
    ],
)
def test_what_carries_none_is_the_same_bytes(data: Any):
    """Other members, texts that look like members, and values that are no texts come through as they are."""
    raw = orjson.dumps(data)
    assert mask_ips(raw) == raw


def test_the_longest_body_takes_linear_time():
    """A megabyte made to match almost everywhere is done with at once: nothing is looked at again and again."""
    for text in (b"ip" * 500_000, b"ip_" * 350_000, b"addr" * 250_000, b"1.2.3." * 170_000, b":" * 1_000_000):
        for data in (b'{"%b":1}' % text, b'{"ip":"%b"}' % text, b'{"ips":["%b"],"x":[{"%bip":1}]}' % (text, text)):
            assert mask_ips(data) == data
    many = b"[" + b",".join([b'{"ip":"10.20.30.40"}'] * 50_000) + b"]"
    assert mask_ips(many) == many.replace(b"10.20.30.40", b"10.20.x.x")


# --- exactly where parsing finds it --------------------------------------------------------------------------------


def is_address_name(name: str) -> bool:
    """The rule, said without a regular expression; a name with a quote, a backslash or a control is never one."""
    plain = name.encode().lower()
    return not any(byte in b'"\\' or byte < 0x20 for byte in plain) and plain.endswith(
        tuple(ending.encode() for ending in ENDINGS)
    )


def oracle(value: Any) -> Any:
    """Masks a parsed value."""
    if isinstance(value, list):
        return [oracle(item) for item in value]
    if not isinstance(value, dict):
        return value
    masked = {}
    for name, item in value.items():
        if is_address_name(name) and isinstance(item, str):
            masked[name] = mask_text(item)
        elif is_address_name(name) and isinstance(item, list) and item and all(isinstance(one, str) for one in item):
            masked[name] = [mask_text(one) for one in item]
        else:
            masked[name] = oracle(item)
    return masked


# Letters that make strings, their ends and members look like each other, and texts that stress the rule.
sly = st.text(alphabet='"\\,:{}[]ipIP_- 1.\n\t/é\u2028\U0001f600adr', max_size=12)
addresses = st.one_of(st.ip_addresses().map(str), st.ip_addresses(v=6).map(lambda one: one.exploded))
texts = st.one_of(
    sly,
    addresses,
    st.builds("{}{}{}".format, sly, addresses, sly),
    st.sampled_from(["ip", ',"ip":', '{"ip":"1.2.3.4"}', '","ip":"1.2.3.4', "1.2.3.4", "\\", '\\"', "ip\\"]),
)
names = st.one_of(
    st.sampled_from(["ip", "IP", "client_ip", "remoteIp", "ip_address", "ips", "X-Forwarded-For"]),
    sly,
    st.builds("{}{}".format, sly, st.sampled_from(ENDINGS)),
    st.builds("{}{}".format, sly, st.sampled_from(['ip"', "ip\\", "ip ", "ipsum", "Ip", "ADDR"])),
)
values = st.recursive(
    st.one_of(texts, st.integers(-9, 9), st.booleans(), st.none(), st.floats(-9, 9)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(texts, max_size=3), st.dictionaries(names, inner, max_size=5)
    ),
    max_leaves=20,
)


@given(values)
def test_bytes_are_masked_as_parsing_masking_and_writing_would(value: Any):
    """Whatever names and values hold, the result is that of parsing, masking and writing anew, and as stable."""
    _, data = stabilise(orjson.dumps(value))
    expected = stabilise(orjson.dumps(oracle(orjson.loads(data))))[1]
    assert mask_ips(data) == expected
    assert stabilise(expected)[1] == expected


@given(st.ip_addresses())
def test_no_address_survives(address: ipaddress.IPv4Address | ipaddress.IPv6Address):
    """After its masking a text holds no address any more, and two addresses of one network cannot be told apart."""
    masked = mask_text(str(address))
    with pytest.raises(ValueError, match="does not appear"):
        ipaddress.ip_address(masked)
    other = type(address)(int(address) ^ 1)
    assert mask_text(str(other)) == masked


# --- who says so ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_profile", ["false", "true"])
@pytest.mark.parametrize("settings", [{}, {"mask_ips": None}, {"mask_ips": True}, {"mask_ips": False}])
def test_the_account_overrides_its_profile(tmp_path: Path, by_profile: str, settings: dict[str, object]):
    """A profile says how it is by default, and an account's setting decides in either direction."""
    folder = tmp_path / "standard"
    shutil.copytree(DATA / "standard", folder)
    file = folder / "profile.toml"
    file.write_text(f"mask_ips = {by_profile}\n{file.read_text()}")
    account = Account(
        id=AccountId(1),
        name="x",
        profile="standard",
        timezone="UTC",
        external_id=None,
        notify_email=None,
        settings=settings,
        config_version=1,
        created_at=Millis(0),
        updated_at=Millis(0),
    )
    said = settings.get("mask_ips")
    assert masks_ips(account, read_profile(folder)) is (by_profile == "true" if said is None else said)
