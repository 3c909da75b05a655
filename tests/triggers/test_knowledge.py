"""What is known of addresses and user agents: the packages, a user's own files, and what happens when those change."""

import ipaddress
from pathlib import Path

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import given
from hypothesis import strategies as st

from tests.triggers import mmdb
from tocsin.errors import Misconfigured
from tocsin.triggers import agents
from tocsin.triggers.activity import AddressFacts, AgentFacts
from tocsin.triggers.address_files import Ranges, network
from tocsin.triggers.knowledge import Knowledge

SAFARI = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0"

# --- addresses: the package ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ip", "facts"),
    [
        ("52.95.110.1", AddressFacts(hosting="Amazon AWS")),
        ("::ffff:52.95.110.1", AddressFacts(hosting="Amazon AWS")),
        ("2a01:4f8::1", AddressFacts(hosting="Hetzner")),
        ("104.16.1.1", AddressFacts(hosting="Cloudflare")),
        ("66.249.66.1", AddressFacts(crawler="Googlebot")),
        ("203.0.113.7", AddressFacts()),
        ("10.0.0.1", AddressFacts()),
        ("127.0.0.1", AddressFacts()),
        ("::1", AddressFacts()),
        ("", AddressFacts()),
        ("nonsense", AddressFacts()),
        ("1.2.3", AddressFacts()),
        ("fe80::1%eth0", AddressFacts()),
    ],
)
def test_an_address_is_known_by_the_package(ip: str, facts: AddressFacts) -> None:
    """Of the large providers, in IPv4 and IPv6; nothing of private addresses and of what is none."""
    assert Knowledge().address(ip) == facts


def test_what_is_loaded_waits_for_nothing_at_the_first_look() -> None:
    """Everything that a look needs is there after `load`; without it the first look reads it."""
    agents._parser.cache_clear()
    agents._crawlers.cache_clear()
    knowledge = Knowledge()
    knowledge.load()
    found = [agents._parser.cache_info().misses, agents._crawlers.cache_info().misses]
    assert knowledge.agent("curl/8.5.0").bot == "curl"
    assert knowledge.address("52.95.110.1").hosting == "Amazon AWS"
    assert [agents._parser.cache_info().misses, agents._crawlers.cache_info().misses] == found == [1, 1]


# --- addresses: a user's files ---------------------------------------------------------------------------------------


def _folder(folder: Path, **files: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def test_a_users_lists_are_believed_before_the_package(tmp_path: Path) -> None:
    """With names or without, comments and blank lines, IPv4 and IPv6; the smallest network speaks."""
    folder = _folder(
        tmp_path / "lists",
        hosting="# ours\n\n203.0.113.0/24  Our data centre\n203.0.113.128/25\tThe other one # new\n2001:db8::/32\n",
        vpn="198.51.100.1 Example VPN\n52.95.110.0/24 Tunnel\n::ffff:192.0.2.0/120 Mapped\n",
        proxy="198.51.100.2\n",
        tor="198.51.100.3\n",
        crawlers="198.51.100.4 Examplebot\n",
        ordinary="8.8.8.0/24\n203.0.113.7\n",
        ipsum="# IPsum\n198.51.100.9\t7\n198.51.100.10\n203.0.113.7\t1\n66.249.66.1\t3\n",
    )
    knowledge = Knowledge([folder])
    found = {
        "203.0.113.1": AddressFacts(hosting="Our data centre"),
        "203.0.113.127": AddressFacts(hosting="Our data centre"),
        "203.0.113.128": AddressFacts(hosting="The other one"),
        "203.0.113.255": AddressFacts(hosting="The other one"),
        "203.0.114.0": AddressFacts(),
        "203.0.113.7": AddressFacts(),
        "2001:db8::7": AddressFacts(hosting="unknown"),
        "198.51.100.1": AddressFacts(vpn="Example VPN"),
        "::ffff:198.51.100.1": AddressFacts(vpn="Example VPN"),
        "192.0.2.9": AddressFacts(vpn="Mapped"),
        "52.95.110.1": AddressFacts(vpn="Tunnel"),
        "198.51.100.2": AddressFacts(proxy=True),
        "198.51.100.3": AddressFacts(tor=True),
        "198.51.100.4": AddressFacts(crawler="Examplebot"),
        "198.51.100.9": AddressFacts(listed=True),
        "198.51.100.10": AddressFacts(listed=True),
        "198.51.100.8": AddressFacts(),
        "66.249.66.1": AddressFacts(crawler="Googlebot", listed=True),
        "8.8.8.8": AddressFacts(),
        "8.8.4.4": AddressFacts(hosting="Google"),
    }
    assert {ip: knowledge.address(ip) for ip in found} == found


def test_files_can_be_named_one_by_one(tmp_path: Path) -> None:
    """Other files of their folder are not read."""
    folder = _folder(tmp_path / "lists", vpn="198.51.100.1\n", tor="198.51.100.1\n")
    assert Knowledge([folder / "vpn.txt"]).address("198.51.100.1") == AddressFacts(vpn="unknown")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("vpn.txt", "198.51.100.1\n\nnonsense\n", "vpn.txt, line 3: 'nonsense' is no address or network"),
        ("vpn.txt", "198.51.100.1/24\n", "vpn.txt, line 1: '198.51.100.1/24' is no address or network .*host bits"),
        ("tor.txt", "# x\n198.51.100.256\n", "tor.txt, line 2"),
        ("ipsum.txt", "198.51.100.1\t3\n198.51.100.2\tmany\n", "ipsum.txt, line 2: .*number of lists"),
        ("ipsum.txt", "198.51.100.1\t3\t4\n", "ipsum.txt, line 1"),
        ("hosts.txt", "", "hosts.txt is no list that is known.*hosting.txt"),
        ("geo.mmdb", "not one", "geo.mmdb is no MMDB database"),
    ],
)
def test_a_broken_file_stops_the_start(tmp_path: Path, name: str, text: str, said: str) -> None:
    """The sentence names the setting, the file and the line."""
    (tmp_path / name).write_text(text)
    with pytest.raises(Misconfigured, match=f"^TOCSIN_KNOWLEDGE: .*{said}"):
        Knowledge([tmp_path])


def test_what_is_not_there_or_no_text_stops_the_start(tmp_path: Path) -> None:
    """A missing file, a missing folder, bytes that are no UTF-8."""
    for missing in ("vpn.txt", "geo.mmdb"):
        with pytest.raises(Misconfigured, match=f"there is no file .*{missing}"):
            Knowledge([tmp_path / missing])
    (tmp_path / "vpn.txt").write_bytes(b"198.51.100.1\n\xff\n")
    with pytest.raises(Misconfigured, match=r"vpn.txt, line 2: it is not UTF-8"):
        Knowledge([tmp_path])


def test_other_files_of_a_folder_are_left_alone(tmp_path: Path) -> None:
    """A README beside the lists is no list."""
    (tmp_path / "README.md").write_text("about")
    assert Knowledge([tmp_path]).address("198.51.100.1") == AddressFacts()


def test_mmdb_files_tell_country_and_flags(tmp_path: Path) -> None:
    """By the field names of MaxMind and IPinfo; a list of the user's is believed before them."""
    mmdb.write(
        tmp_path / "country.mmdb",
        {
            "203.0.113.0/24": {"country": {"iso_code": "DE"}},
            "2001:db8::/32": {"country": "fr"},
            "52.95.110.0/24": {"country_code": "US"},
        },
    )
    mmdb.write(
        tmp_path / "privacy.mmdb",
        {
            "203.0.113.1/32": {"is_hosting_provider": True, "autonomous_system_organization": "Example"},
            "203.0.113.2/32": {"traits": {"is_anonymous_vpn": True, "is_hosting_provider": False}},
            "203.0.113.3/32": {"vpn": "true", "service": "Example VPN", "tor": "false"},
            "203.0.113.4/32": {"is_residential_proxy": True},
            "203.0.113.5/32": {"is_tor_exit_node": True},
            "203.0.113.6/32": {"vpn": True},
        },
        ip_version=4,
    )
    _folder(tmp_path, ordinary="203.0.113.6\n")
    knowledge = Knowledge([tmp_path])
    found = {
        "203.0.113.1": AddressFacts(country="DE", hosting="Example"),
        "203.0.113.2": AddressFacts(country="DE", vpn="unknown"),
        "203.0.113.3": AddressFacts(country="DE", vpn="Example VPN"),
        "203.0.113.4": AddressFacts(country="DE", proxy=True),
        "203.0.113.5": AddressFacts(country="DE", tor=True),
        "203.0.113.6": AddressFacts(country="DE"),
        "203.0.113.7": AddressFacts(country="DE"),
        "2001:db8::1": AddressFacts(country="FR"),
        "52.95.110.1": AddressFacts(country="US", hosting="Amazon AWS"),
        "198.51.100.1": AddressFacts(),
    }
    assert {ip: knowledge.address(ip) for ip in found} == found


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """Also one that is new or gone; one that is broken is told, and what was known stays."""
    file = tmp_path / "vpn.txt"
    file.write_text("198.51.100.1 One\n")
    knowledge = Knowledge([tmp_path])
    assert knowledge.refresh() is False
    assert knowledge.address("198.51.100.1").vpn == "One"

    file.write_text("198.51.100.1 Another\n")
    assert knowledge.refresh() is True
    assert knowledge.address("198.51.100.1").vpn == "Another"

    file.write_text("broken\n")
    for _ in range(2):
        with pytest.raises(Misconfigured, match="line 1"):
            knowledge.refresh()
        assert knowledge.address("198.51.100.1").vpn == "Another"

    file.rename(tmp_path / "was.csv")
    (tmp_path / "tor.txt").write_text("198.51.100.1\n")
    assert knowledge.refresh() is True
    assert knowledge.address("198.51.100.1") == AddressFacts(tor=True)


_OCTETS = st.integers(0, 255)
_NETWORKS = st.builds(
    lambda a, b, bits: ipaddress.ip_network((f"10.0.{a}.{b}", bits), strict=False),
    _OCTETS,
    _OCTETS,
    st.integers(14, 32),
) | st.builds(
    lambda a, bits: ipaddress.ip_network((f"2001:db8::{a:x}", bits), strict=False), _OCTETS, st.integers(118, 128)
)


@given(st.dictionaries(_NETWORKS, st.sampled_from("abc"), max_size=12), st.lists(_NETWORKS, max_size=12))
def test_the_smallest_network_speaks(
    networks: dict[ipaddress.IPv4Network | ipaddress.IPv6Network, str],
    asked: list[ipaddress.IPv4Network | ipaddress.IPv6Network],
) -> None:
    """As asking each network says, at the edges of all of them."""
    ranges = Ranges({network(str(one)): label for one, label in networks.items()})
    edges = {edge for one in [*networks, *asked] for edge in (one.network_address, one.broadcast_address)}
    for address in edges | {edge + 1 for edge in edges} | {edge - 1 for edge in edges}:
        holding = [one for one in networks if address in one]
        smallest = max(holding, key=lambda one: one.prefixlen, default=None)
        assert ranges.find(address) == (None if smallest is None else networks[smallest])


# --- user agents -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user_agent", "facts"),
    [
        (
            f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36",
            AgentFacts(
                device="desktop",
                os="Windows",
                os_version="10",
                browser="Chrome",
                browser_version="125.0",
                vendor="Google",
            ),
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {SAFARI} Version/17.5 Mobile/15E148 Safari/604.1",
            AgentFacts(
                device="mobile",
                model="iPhone",
                os="iOS",
                os_version="17.5",
                browser="Safari",
                browser_version="17.5",
                vendor="Apple",
            ),
        ),
        (
            f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {SAFARI} Version/17.4 Safari/605.1.15",
            AgentFacts(
                device="desktop",
                model="Mac",
                os="macOS",
                os_version="10.15",
                browser="Safari",
                browser_version="17.4",
                vendor="Apple",
            ),
        ),
        ("Mozilla/5.0...", AgentFacts()),
        ("", AgentFacts()),
        ("-", AgentFacts()),
        ("\x00\ud800", AgentFacts()),
    ],
)
def test_what_a_user_agent_tells(user_agent: str, facts: AgentFacts) -> None:
    """Device, system and browser by the names that people know; nothing where it says nothing."""
    assert Knowledge().agent(user_agent) == facts


PEOPLE = {
    f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {SAFARI} Version/16.6 Mobile/15E148 Safari/604.1": "tablet",
    f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {CHROME} Mobile Safari/537.36": "mobile",
    f"Mozilla/5.0 (Linux; Android 13; SM-X700) {CHROME} Safari/537.36": "tablet",
    "Mozilla/5.0 (Android 13; Tablet; rv:125.0) Gecko/125.0 Firefox/125.0": "tablet",
    "Mozilla/5.0 (Android 13; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0": "mobile",
    f"Mozilla/5.0 (Linux; Android 9; CUBOT X18 Plus) {CHROME} Mobile Safari/537.36": "mobile",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {SAFARI} Mobile/15E148 [FBAN/FBIOS;FBAV/465.0]": "mobile",
    f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {SAFARI} Mobile/15E148 [Pinterest/iOS]": "mobile",
    "Tracker/4.2 CFNetwork/1494.0.7 Darwin/23.4.0": "mobile",
    "Dalvik/2.1.0 (Linux; U; Android 13; SM-A536B Build/TP1A.220624.014)": "mobile",
    f"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) {CHROME} TV Safari/537.36": "tv",
    f"Mozilla/5.0 (Linux; Android 9; AFTKA Build/PS7) {CHROME} Safari/537.36": "tv",
    f"Mozilla/5.0 (PlayStation 5 3.11) {SAFARI}": "console",
    "Opera/9.80 (Android; Opera Mini/36.2.2254/119.132; U; id) Presto/2.12.423 Version/12.16": "mobile",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; Touch; Tablet PC 2.0; rv:11.0) like Gecko": "desktop",
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36": "desktop",
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0": "desktop",
}


@pytest.mark.parametrize(("user_agent", "device"), PEOPLE.items())
def test_people_are_not_taken_for_machines(user_agent: str, device: str) -> None:
    """Whatever they browse with; and what they hold in their hands is told."""
    facts = Knowledge().agent(user_agent)
    assert (facts.bot, facts.device) == (None, device)


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("curl/8.4.0", "curl"),
        ("python-requests/2.31.0", "python-requests"),
        ("Go-http-client/2.0", "Go-http-client"),
        ("okhttp/4.9.3", "okhttp"),
        ("Java/11.0.2", "Java"),
        ("Wget/1.21", "Wget"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120", "HeadlessChrome"),
        ("Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1", "PhantomJS"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36 Selenium/4.1", "Selenium"),
        (f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36 Puppeteer", "Puppeteer"),
        ("Playwright/1.40 (x64; ubuntu 22.04) node/18.1", "Playwright"),
        ("Mozilla/5.0 (linux) AppleWebKit/537.36 (KHTML, like Gecko) jsdom/20.0.0", "jsdom"),
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        ("AdsBot-Google (+http://www.google.com/adsbot.html)", "AdsBot-Google"),
        (
            "Mozilla/5.0 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
            "GPTBot",
        ),
    ],
)
def test_machines_are_named(user_agent: str, name: str) -> None:
    """Crawlers, tools, headless and driven browsers."""
    assert Knowledge().agent(user_agent).bot == name


def test_every_crawler_of_the_list_is_one() -> None:
    """All examples that the list has of them, each with a name."""
    examples = [example for one in CRAWLER_USER_AGENTS_DATA for example in one["instances"]]
    assert len(examples) > 1_000
    assert [example for example in examples if not agents.read(example[:1_024]).bot] == []


@given(st.text(max_size=3_000))
def test_any_header_is_read(user_agent: str) -> None:
    """Whatever it holds, however long."""
    assert agents.read(user_agent) == agents.read(user_agent[:1_024])
