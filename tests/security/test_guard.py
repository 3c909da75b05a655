"""The outbound guard against a corpus of addresses, an oracle of its own, and libcurl's reading."""

import contextlib
import ipaddress
import itertools
import tomllib
from pathlib import Path

import pycurl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.errors import Invalid
from tocsin.security.guard import Address, Guard

CORPUS = tomllib.loads(Path(__file__).with_name("addresses.toml").read_text())
REFUSED = [(group["kind"], url) for group in CORPUS["refused"] for url in group["urls"]]
PASSES = [(one["url"], one["dialled"]) for one in CORPUS["passes"]]

# A phrase of the reason that a user reads, by kind.
WHY = {
    "private": "is private",
    "loopback": "is loopback",
    "link-local": "is link-local",
    "metadata": "metadata",
    "shared": "carrier-grade NAT",
    "reserved": "(RFC ",
    "benchmark": "is for benchmarks",
    "documentation": "is for documentation",
    "multicast": "is multicast",
    "mapped": "write the four numbers themselves",
    "inside": " leads to ",
    "tunnel": "(RFC ",
    "numeric": "four plain decimal numbers",
    "ipv6": ("is no IPv6 address", "well-formed", "this is no address"),
    "local name": "lead to private networks",
    "no dot": "a name without a dot",
    "final dot": "does not end with a dot",
    "name": ("the host is no name", "printable ASCII"),
    "characters": "printable ASCII",
    "user": "no user or password",
    "fragment": "no fragment",
    "port": "the port must be",
    "authority": "well-formed",
    "scheme": "begins with https://",
    "http": "TOCSIN_ALLOW_HTTP=1",
}

STRICT = Guard(allow_http=False, allow_networks=())
HTTP = Guard(allow_http=True, allow_networks=())
LOOPBACK = Guard(allow_http=True, allow_networks=[ipaddress.ip_network("127.0.0.0/8")])


def parsed(url: str) -> Address | None:
    """The address, or None where it is refused; nothing else may be raised."""
    with contextlib.suppress(Invalid):
        return HTTP.parse(url)
    return None


def why_refused(guard: Guard, url: str) -> str:
    with pytest.raises(Invalid) as refused:
        guard.parse(url)
    assert refused.value.code == "url_refused"
    [fault] = refused.value.faults
    assert fault.pointer == "/url"
    return fault.detail


@pytest.mark.parametrize(("kind", "url"), REFUSED)
def test_refused_with_a_reason(kind: str, url: str) -> None:
    """Every refused address of the corpus is refused for its own reason, and so it is where plain http is allowed."""
    phrases = WHY[kind]
    reason = why_refused(STRICT, url)
    assert any(phrase in reason for phrase in ([phrases] if isinstance(phrases, str) else phrases)), reason
    if kind != "http":
        why_refused(HTTP, url.replace("https://", "http://"))


@pytest.mark.parametrize(("url", "dialled"), PASSES)
def test_passes_in_the_form_that_is_dialled(url: str, dialled: str) -> None:
    """Every good address of the corpus passes, and its dialled form reads as itself."""
    address = STRICT.parse(url)
    assert address.url == dialled
    assert STRICT.parse(address.url) == address


def test_the_corpus_is_as_large_as_promised() -> None:
    """At least 100 refused addresses and 20 that pass, none twice."""
    urls = [url for _, url in REFUSED] + [url for url, _ in PASSES]
    assert len(set(urls)) == len(urls)
    assert len(REFUSED) >= 100
    assert len(PASSES) >= 20


def test_lengths_are_bounded() -> None:
    """An address of 2048 characters passes, of 2049 not; a name of 253 passes, of 254 not; an empty one never."""
    stem = "https://example.com/"
    assert len(STRICT.parse(stem + "a" * (2048 - len(stem))).url) == 2048
    assert "2048" in why_refused(STRICT, stem + "a" * (2049 - len(stem)))
    assert "2048" in why_refused(STRICT, "https://example.com?" + "a" * 2028)  # the slash that is put in counts
    assert "not 0" in why_refused(STRICT, "")
    name = ".".join(["a" * 49] * 5) + ".com"
    assert len(name) == 253
    assert STRICT.parse(f"https://{name}/").host == name
    assert "253" in why_refused(STRICT, f"https://b{name}/")


def test_plain_http_is_the_operators_choice() -> None:
    """Plain http passes only if the operator allows it, and then for profiles that otherwise take https only."""
    assert HTTP.parse("http://example.com/", https_only=True).port == 80
    with pytest.raises(Invalid, match="this profile takes https only"):
        STRICT.parse("http://example.com/", https_only=True)


def test_allowed_networks_let_through_what_they_name() -> None:
    """A network that the operator names is let through, literally and resolved, and nothing beside it is."""
    assert LOOPBACK.parse("http://127.0.0.1:9000/").literal
    assert LOOPBACK.refusal("127.8.9.1") is None
    assert LOOPBACK.refusal("::ffff:127.0.0.1") is None  # as a dual-stack socket names its peer
    for other in ("::1", "10.0.0.1", "169.254.169.254"):
        assert LOOPBACK.refusal(other) is not None
    six = Guard(allow_http=False, allow_networks=[ipaddress.ip_network("fd00::/8")])
    assert six.refusal("fd00:ec2::254") is None
    assert six.refusal("fc00::1") is not None


def test_names_without_a_dot_only_into_allowed_networks() -> None:
    """A single-label name passes only where networks are allowed, and then only resolving into them."""
    localhost = LOOPBACK.parse("http://localhost:9000/")
    assert (localhost.host, localhost.literal) == ("localhost", False)
    assert LOOPBACK.check_resolved(localhost, ["127.0.0.1"]) is None
    assert "TOCSIN_ALLOW_NETWORKS" in str(LOOPBACK.check_resolved(localhost, ["8.8.8.8"]))
    assert "TOCSIN_ALLOW_NETWORKS" in str(LOOPBACK.check_resolved(localhost, ["127.0.0.1", "8.8.8.8"]))
    assert "lead to private networks" in why_refused(LOOPBACK, "https://app.localhost/")


def test_one_bad_address_of_a_name_refuses_it() -> None:
    """A name that resolves to a public and a private address is refused, and so is one that resolves to nothing."""
    address = STRICT.parse("https://example.com/")
    assert STRICT.check_resolved(address, ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"]) is None
    assert "10.0.0.7" in str(STRICT.check_resolved(address, ["93.184.215.14", "10.0.0.7"]))
    assert "fe80::1" in str(STRICT.check_resolved(address, ["fe80::1", "93.184.215.14"]))
    assert "no address" in str(STRICT.check_resolved(address, []))


@pytest.mark.parametrize("text", ["", "example.com", "0177.0.0.1", "127.1", "8.8.8.8 ", "[::1]", "2606:4700::1%eth0"])
def test_what_is_no_address_is_not_dialled(text: str) -> None:
    """Whatever is not the plain text of an IP address is refused at connect time."""
    assert STRICT.refusal(text) is not None


# --- against an oracle ------------------------------------------------------------------------------------------

# Written octet by octet and group by group, apart from the guard's list; the standard library's own predicates differ
# from one version of Python to the next.


def oracle_public_v4(number: int) -> bool:
    a, b, c, _ = number.to_bytes(4, "big")
    local = a in (0, 10, 127) or (a, b) in ((169, 254), (192, 168)) or (a == 172 and 16 <= b <= 31)
    shared = a == 100 and 64 <= b <= 127
    special = (a, b, c) in ((192, 0, 0), (192, 0, 2), (198, 51, 100), (203, 0, 113)) or (a == 198 and b in (18, 19))
    return not (local or shared or special or a >= 224)


def oracle_public(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(ip, ipaddress.IPv4Address):
        return oracle_public_v4(int(ip))
    if ip.ipv4_mapped is not None:
        return oracle_public_v4(int(ip.ipv4_mapped))
    if ip.sixtofour is not None or ip.teredo is not None:
        return False
    groups = [int(group, 16) for group in ip.exploded.split(":")]
    tail = groups[6] << 16 | groups[7]
    if groups[:6] == [0x64, 0xFF9B, 0, 0, 0, 0]:
        return oracle_public_v4(tail)
    if groups[4] in (0, 0x200) and groups[5] == 0x5EFE and not oracle_public_v4(tail):
        return False
    return groups[0] >> 13 == 1 and groups[:2] != [0x2001, 0xDB8]


v4 = st.integers(0, 2**32 - 1) | st.sampled_from(
    [int(network.network_address) + offset for network in map(ipaddress.IPv4Network, [
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4",
        "240.0.0.0/4",
    ]) for offset in (-1 if int(network.network_address) else 0, 0, 1, network.num_addresses - 1)]
)  # fmt: skip
v6 = st.one_of(
    st.integers(0, 2**128 - 1),
    st.integers(0x2000 << 112, (0x4000 << 112) - 1),
    v4,
    v4.map(lambda inside: 0xFFFF << 32 | inside),
    v4.map(lambda inside: 0x64_FF9B << 96 | inside),
    v4.map(lambda inside: 0x64_FF9B_0001 << 80 | inside),
    v4.map(lambda inside: 0x2002 << 112 | inside << 80 | 1),
    v4.map(lambda inside: 0x2001 << 112 | inside << 64 | (inside ^ 0xFFFF_FFFF)),
    v4.map(lambda inside: 0x2A00_1450 << 96 | 0x0000_5EFE << 32 | inside),
    v4.map(lambda inside: 0x2A00_1450 << 96 | 0x0200_5EFE << 32 | inside),
    v4.map(lambda inside: 0xFE80 << 112 | inside),
)
# Where the registries let an address through and the guard does not: it is stricter, and nobody listens there.
STRICTER = [
    ipaddress.ip_network(text)
    for text in (
        "168.63.129.16/32", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24",
        "2001::/23", "2620:4f:8000::/48", "3fff::/20", "3ffe::/16",
    )
]  # fmt: skip


def spellings_v4(number: int) -> list[str]:
    """Every way in which some resolver, browser or C library reads that IPv4 address."""
    a, b, c, d = number.to_bytes(4, "big")
    parts = [(a, b, c, d), (a, b, c << 8 | d), (a, b << 16 | c << 8 | d), (number,)]
    forms = ["{:d}", "{:#x}", "0{:o}", "0X{:X}", "{:#010x}", "0{:d}"]
    plain = [".".join(form.format(part) for part in group) for group in parts for form in forms]
    mixed = [f"{a:#x}.{b:d}.0{c:o}.{d:d}", f"{a}.{b}.{c}.{d}.", f"{a}.{b}.{c}.0{d:o}"]
    wide = f"{a}.{b}.{c}.{d}".translate({ord("0") + i: 0xFF10 + i for i in range(10)})
    dots = f"{a}。{b}。{c}。{d}"
    encoded = "".join(f"%{ord(character):02x}" for character in f"{a}.{b}.{c}.{d}")
    mapped = [f"[::ffff:{a}.{b}.{c}.{d}]", f"[::ffff:{number >> 16:x}:{number & 0xFFFF:x}]", f"[::{a}.{b}.{c}.{d}]"]
    return [*plain, *mixed, wide, dots, encoded, *mapped]


@given(v4)
def test_no_spelling_of_a_refused_ipv4_address_passes(number: int) -> None:
    """However an IPv4 address is spelled: if it passes, it is public and is dialled as the four plain numbers."""
    for spelling, scheme in itertools.product(spellings_v4(number), ("https", "http")):
        try:
            address = HTTP.parse(f"{scheme}://{spelling}/")
        except Invalid:
            continue
        assert address.literal
        assert address.host == str(ipaddress.IPv4Address(number))
        assert oracle_public_v4(number)


@given(v4.map(ipaddress.IPv4Address) | v6.map(ipaddress.IPv6Address))
def test_refusal_agrees_with_the_oracle(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """The guard refuses what the oracle refuses, and nothing else but what stands in STRICTER."""
    refused = STRICT.refusal(str(ip)) is not None
    if not oracle_public(ip):
        assert refused
    elif refused:
        assert any(ip in network for network in STRICTER)


@given(v6)
def test_every_spelling_of_an_ipv6_address_is_one(number: int) -> None:
    """Compressed, exploded, in capitals or with a dotted tail: one judgement and one dialled form."""
    ip = ipaddress.IPv6Address(number)
    tail = ipaddress.IPv4Address(number & 0xFFFF_FFFF)
    head = ":".join(ip.exploded.split(":")[:6])
    outcomes = set()
    for spelling in (ip.compressed, ip.exploded, ip.compressed.upper(), ip.exploded.upper(), f"{head}:{tail}"):
        try:
            outcomes.add(STRICT.parse(f"https://[{spelling}]/").url)
        except Invalid:
            outcomes.add("refused")
    assert len(outcomes) == 1
    assert oracle_public(ip) or outcomes == {"refused"}


# --- against libcurl --------------------------------------------------------------------------------------------


def dialled_by_libcurl(address: Address, resolves_to: str) -> set[tuple[str, int]]:
    """Where libcurl would connect for that address; its socket callback refuses, so it never does."""
    dialled = set()

    def record(_purpose: int, where: tuple[int, int, int, tuple[bytes | str, int]]) -> int:
        host, port = where[3][0], where[3][1]
        dialled.add((host.decode() if isinstance(host, bytes) else host, port))
        return pycurl.SOCKET_BAD

    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, address.url)
        curl.setopt(pycurl.PROXY, "")
        curl.setopt(pycurl.TIMEOUT_MS, 2000)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, record)
        if not address.literal:
            curl.setopt(pycurl.RESOLVE, [f"{address.host}:{address.port}:{resolves_to}"])
        with pytest.raises(pycurl.error):
            curl.perform()
    finally:
        curl.close()
    return dialled


@pytest.mark.parametrize("url", [url for url, _ in PASSES])
def test_libcurl_dials_what_was_judged(url: str) -> None:
    """Host and port as libcurl reads the dialled form are those that were judged."""
    address = STRICT.parse(url)
    expected = address.host if address.literal else "192.0.2.55"
    assert dialled_by_libcurl(address, "192.0.2.55") == {(expected, address.port)}


@given(
    st.from_regex(r"(?i)https?://[a-z0-9.\[\]:@%_-]{1,40}(:[0-9]{1,5})?(/[!-~]{0,20})?", fullmatch=True),
)
def test_whatever_passes_is_stable_and_read_alike_by_libcurl(url: str) -> None:
    """Of any text at all: what passes parses to itself, and libcurl dials the host and port that were judged."""
    address = parsed(url)
    if address is None:
        return
    assert HTTP.parse(address.url) == address
    expected = address.host if address.literal else "192.0.2.55"
    assert dialled_by_libcurl(address, "192.0.2.55") == {(expected, address.port)}


@given(st.text(max_size=60) | st.text("htps:/.[]@#?%0127x:\\", max_size=30).map(lambda rest: "https://" + rest))
def test_any_text_is_an_address_or_refused(url: str) -> None:
    """No text raises anything but the refusal."""
    address = parsed(url)
    assert address is None or HTTP.parse(address.url) == address
