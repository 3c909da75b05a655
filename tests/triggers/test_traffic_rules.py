"""Clicks, visits and impressions: what occurs, once per visitor where it must, and with which facts."""

from decimal import Decimal
from typing import Any

import pytest

from tests.triggers.traffic_facts import AT, BROWSER, Account, activity
from tocsin.triggers.activity import AddressFacts, AgentFacts, Kind
from tocsin.triggers.settings import ScoringPoints, TriggerSettings

IP = "203.0.113.7"
DAY = 86_400


def names(account: Account, *args: Any, **more: Any) -> list[str]:
    return [one.name for one in account.take(activity(*args, **more)).occurrences]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({}, ["click"]),
        ({"kind": Kind.VISIT, "visitor": "v"}, ["visit", "visitor"]),
        ({"kind": Kind.VISIT, "ip": IP}, ["visit", "visitor"]),
        ({"kind": Kind.VISIT}, ["visit"]),
        ({"kind": Kind.IMPRESSION, "signals": {"score": 99}}, ["impression"]),
        ({"signals": {"score": 39}}, ["click"]),
        ({"signals": {"score": 40}}, ["click", "suspicious"]),
        ({"signals": {"score": 69}}, ["click", "suspicious"]),
        ({"signals": {"score": 70}}, ["click", "fraud"]),
        ({"signals": {"score": 80}}, ["click", "fraud"]),
        ({"signals": {"score": 81}}, ["click", "fraud", "brand_risk"]),
        ({"kind": Kind.VISIT, "visitor": "v", "signals": {"score": 81}}, ["visit", "visitor", "fraud"]),
        ({"signals": {"bot": {"type": "x"}}}, ["click", "bot"]),
        ({"signals": {"bot": True}}, ["click", "bot"]),
        ({"signals": {"webdriver": True}}, ["click", "suspicious", "bot"]),
        ({"agent_facts": AgentFacts(bot="curl")}, ["click", "suspicious", "bot"]),
        ({"address": AddressFacts(crawler="Googlebot")}, ["click", "bot"]),
        ({"signals": {"honeypot": True}}, ["click", "suspicious"]),
        ({"signals": {"vpn": {"provider": "x"}}}, ["click", "vpn"]),
        ({"signals": {"proxy": True}}, ["click", "vpn"]),
        ({"address": AddressFacts(vpn="Mullvad")}, ["click", "vpn"]),
        ({"address": AddressFacts(tor=True)}, ["click", "vpn"]),
        ({"address": AddressFacts(hosting="Hetzner")}, ["click"]),
        ({"signals": {"cloaker": {"name": "x"}}}, ["click", "cloaker"]),
    ],
)
def test_what_occurs(said: dict[str, Any], found: list[str]) -> None:
    """In the order in which it fires."""
    assert names(Account(), **said) == found


def test_the_brands_threshold_is_the_accounts() -> None:
    """A score strictly above it."""
    account = Account(TriggerSettings(brand_threshold=50))
    assert "brand_risk" not in names(account, signals={"score": 50})
    facts = account.facts(activity(signals={"score": 51}), "brand_risk")
    assert facts
    assert (facts["score"], facts["threshold"]) == (51, 50)


def test_bots_and_vpns_are_told_whatever_their_rules_are_worth() -> None:
    """A rule without points is out of the score, not out of sight."""
    account = Account(TriggerSettings(points=ScoringPoints(webdriver_present=0, vpn_detected=0)))
    assert names(account, signals={"webdriver": True, "proxy": True}) == ["click", "bot", "vpn"]


# --- once per visitor ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("posted", "first"),
    [
        pytest.param([(0, 50), (1, 55)], [True, False], id="the same label"),
        pytest.param([(0, 50), (1, 85)], [True, True], id="it rises"),
        pytest.param([(0, 85), (1, 50)], [True, False], id="it falls"),
        pytest.param([(0, 85), (1, 10), (2, 85)], [True, False], id="clean between"),
        pytest.param([(0, 50), (1, 85), (2, 50), (3, 85)], [True, True, False, False], id="up and down"),
        pytest.param([(0, 85), (30 * DAY - 1, 85)], [True, False], id="just remembered"),
        pytest.param([(0, 85), (30 * DAY, 85)], [True, True], id="forgotten"),
        pytest.param([(0, 85), (20 * DAY, 85), (40 * DAY, 85)], [True, False, True], id="seeing does not renew"),
        pytest.param([(0, 50), (20 * DAY, 85), (40 * DAY, 50)], [True, True, False], id="rising does"),
        pytest.param([(10, 85), (0, 85)], [True, False], id="late"),
    ],
)
@pytest.mark.parametrize("who", [{"visitor": "v"}, {"ip": IP}])
def test_a_label_is_new_once_per_visitor(
    posted: list[tuple[float, int]], first: list[bool], who: dict[str, Any]
) -> None:
    """And again when it rises, or after it was forgotten; a visitor without an id is its address."""
    account = Account()
    found = [
        one.facts["visitor_first"]
        for at, score in posted
        for one in account.take(activity(at, **who, signals={"score": score})).occurrences
        if one.name in {"fraud", "suspicious"}
    ]
    assert found == first


def test_labels_are_of_one_visitor() -> None:
    """Two ids behind one address are two; without id and address each activity stands alone."""
    account = Account()
    for who in ({"visitor": "a", "ip": IP}, {"visitor": "b", "ip": IP}, {"ip": IP}, {}, {}):
        facts = account.facts(activity(**who, signals={"score": 85}), "fraud")
        assert facts
        assert facts["visitor_first"] is True


def test_clicks_and_visits_of_a_visitor_share_its_label() -> None:
    """What a click told, its visit does not tell again."""
    account = Account()
    account.take(activity(visitor="v", signals={"score": 85}))
    facts = account.facts(activity(1, kind=Kind.VISIT, visitor="v", signals={"score": 85}), "fraud")
    assert facts
    assert facts["visitor_first"] is False


def test_a_visitor_is_new_once() -> None:
    """At its first visit, whatever clicks came before; later ones, also late ones, are not its first."""
    account = Account()
    assert names(account, visitor="v") == ["click"]
    facts = account.facts(activity(5, kind=Kind.VISIT, visitor="v", url="https://x.example/"), "visitor")
    assert facts
    assert facts["first_seen"] == AT + 5_000
    assert facts["url"] == "https://x.example/"
    assert names(account, 6, kind=Kind.VISIT, visitor="v") == ["visit"]
    assert names(account, 1, kind=Kind.VISIT, visitor="v") == ["visit"]
    assert names(account, 7, kind=Kind.VISIT, visitor="w") == ["visit", "visitor"]


def _visitors(account: Account) -> dict[str, int | None]:
    return {key: until for key, (_, until) in account.state.changes().puts.items() if key.startswith("visitor:")}


def test_how_long_visitors_are_kept() -> None:
    """As long as a browser keeps their cookie, from the day they were last seen; for a label alone, as long as that."""
    account = Account()
    account.take(activity(kind=Kind.VISIT, visitor="v"))
    account.take(activity(DAY - 1, kind=Kind.VISIT, visitor="v"))
    kept = _visitors(account)
    assert kept == {"visitor:v": AT + 400 * DAY * 1000}
    account.take(activity(DAY, kind=Kind.VISIT, visitor="v"))
    account.take(activity(0, visitor="w", signals={"score": 85}))
    account.take(activity(0, visitor="clean"))
    account.take(activity(0, kind=Kind.VISIT, ip=IP))
    kept = _visitors(account)
    assert kept == {
        "visitor:v": AT + 401 * DAY * 1000,
        "visitor:w": AT + 30 * DAY * 1000,
        f"visitor:@{IP}": AT + 30 * DAY * 1000,
    }


# --- facts -----------------------------------------------------------------------------------------------------------


def test_a_click_carries_its_data_and_judgement() -> None:
    """All that was posted, and what was made of it."""
    facts = Account().facts(activity(visitor="v", click_id="c1", context={"a": 1}, signals={"honeypot": True}), "click")
    assert facts == {
        "click_id": "c1",
        "context": {"a": 1},
        "signals": {"honeypot": True},
        "visitor": {"id": "v", "user_agent": BROWSER},
        "campaign": {"id": 7, "name": "Spring"},
        "score": 40,
        "label": "SUSPICIOUS",
        "action": "REVIEW",
        "reasons": [{"rule": "honeypot", "points": 40}],
    }


@pytest.mark.parametrize(
    ("said", "fraud_type", "indicators"),
    [
        ({"signals": {"score": 85}}, "suspicious_traffic", []),
        ({"signals": {"score": 85, "reasons": ["theirs"]}}, "suspicious_traffic", ["theirs"]),
        ({"signals": {"score": 85, "fraud": {"type": "own", "indicators": ["a"]}}}, "own", ["a"]),
        ({"signals": {"webdriver": True, "plugins": 0}}, "bot", ["webdriver_present", "missing_plugins"]),
        (
            {"address": AddressFacts(hosting="Hetzner", tor=True), "signals": {"plugins": 0}},
            "hidden_origin",
            ["datacenter_ip", "tor_exit", "missing_plugins"],
        ),
        ({"address": AddressFacts(listed=True, tor=True), "signals": {"plugins": 0}}, "known_abuser", None),
        (
            {"signals": {"score": 85, "reasons": [{"rule": "consistent_timing", "points": 25}, "same_ip_pattern"]}},
            "click_farm",
            ["consistent_timing", "same_ip_pattern"],
        ),
        ({"signals": {"score": 85, "reasons": [{"rule": "rapid_clicks", "points": 30}]}}, "click_spam", None),
        ({"signals": {"score": 85, "reasons": [{"rule": "datacenter_ip", "points": 25}]}}, "datacenter_traffic", None),
    ],
)
def test_what_kind_of_fraud(said: dict[str, Any], fraud_type: str, indicators: list[str] | None) -> None:
    """By its producer, else by the rules with the most points; always named."""
    facts = Account(TriggerSettings(fraud_from=70)).facts(activity(**said, ip=IP), "fraud")
    assert facts
    assert facts["fraud_type"] == fraud_type
    assert facts["ip"] == IP
    if indicators is not None:
        assert facts["indicators"] == indicators


@pytest.mark.parametrize("cost", [Decimal("0.75"), "0.75"])
def test_what_a_fraudulent_click_may_have_cost(cost: Any) -> None:
    """Its cost, exactly; where that is unknown there is no estimate."""
    facts = Account().facts(activity(cost=cost, signals={"score": 85}), "fraud")
    assert facts
    assert facts["estimated_loss"] == Decimal("0.75")
    facts = Account().facts(activity(signals={"score": 85}), "fraud")
    assert facts
    assert "estimated_loss" not in facts


@pytest.mark.parametrize(
    ("said", "bot"),
    [
        (
            {"signals": {"bot": {"type": "selenium", "confidence": 98, "indicators": ["own"]}}},
            {"type": "selenium", "confidence": 98, "indicators": ["own"]},
        ),
        (
            {"signals": {"bot": {}, "webdriver": True}},
            {"type": "webdriver", "confidence": 95, "indicators": ["webdriver_present"]},
        ),
        (
            {"signals": {"webdriver": True, "plugins": 0}},
            {"type": "webdriver", "confidence": 97, "indicators": ["webdriver_present", "missing_plugins"]},
        ),
        ({"agent_facts": AgentFacts(bot="curl")}, {"type": "curl", "confidence": 95, "indicators": ["bot_user_agent"]}),
        (
            {"agent_facts": AgentFacts(bot="HeadlessChrome"), "signals": {"webdriver": True, "honeypot": True}},
            {
                "type": "HeadlessChrome",
                "confidence": 99,
                "indicators": ["honeypot", "bot_user_agent", "webdriver_present"],
            },
        ),
        ({"signals": {"bot": True}}, {"type": "unknown", "confidence": 90, "indicators": []}),
        (
            {"address": AddressFacts(crawler="Googlebot")},
            {"type": "Googlebot", "confidence": 95, "indicators": ["crawler_ip"]},
        ),
    ],
)
def test_what_gave_a_bot_away(said: dict[str, Any], bot: dict[str, Any]) -> None:
    """Its producer's word, then its agent's name, then how its browser behaves; always a type and a confidence."""
    facts = Account().facts(activity(**said), "bot")
    assert facts
    assert facts["bot"] == bot
    assert facts["user_agent"] == BROWSER
    assert facts["ip"] == "unknown"


@pytest.mark.parametrize(
    ("said", "provider", "proxy", "tor"),
    [
        ({"signals": {"vpn": {"provider": "NordVPN"}}}, "NordVPN", False, False),
        ({"signals": {"vpn": {}, "proxy": True}}, "unknown", True, False),
        ({"signals": {"vpn": True}}, "unknown", False, False),
        ({"address": AddressFacts(vpn="Mullvad")}, "Mullvad", False, False),
        ({"address": AddressFacts(proxy=True)}, "unknown", True, False),
        ({"address": AddressFacts(tor=True)}, "Tor", False, True),
    ],
)
def test_whose_vpn(said: dict[str, Any], provider: str, *, proxy: bool, tor: bool) -> None:
    """A provider's name always, "unknown" where nobody knows."""
    facts = Account().facts(activity(**said, ip=IP, agent=None), "vpn")
    assert facts
    assert (facts["vpn"]["provider"], facts["proxy"], facts["tor"]) == (provider, proxy, tor)
    assert (facts["ip"], facts["user_agent"]) == (IP, "")


def test_a_cloaker_is_passed_on() -> None:
    """With a name and a list of indicators, given or not."""
    told = {"name": "x", "indicators": ["a"], "more": 1}
    facts = Account().facts(activity(signals={"cloaker": told}), "cloaker")
    assert facts
    assert facts["cloaker"] == told
    facts = Account().facts(activity(signals={"cloaker": True}), "cloaker")
    assert facts
    assert facts["cloaker"] == {"name": "unknown", "indicators": []}
