"""Scoring: every rule at its edge, alone and together; labels, actions and the producer's own word."""

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.triggers.traffic_facts import AT, Account, activity
from tocsin.clock import Millis
from tocsin.triggers import scoring
from tocsin.triggers.activity import AddressFacts, AgentFacts, Kind
from tocsin.triggers.occurrences import Judgement
from tocsin.triggers.settings import ScoringPoints, ScoringWindows, TriggerSettings

IP = "203.0.113.7"
# Points as CONTRACT §5 has them.
POINTS = {
    "datacenter_ip": 25,
    "vpn_detected": 20,
    "tor_exit": 30,
    "ipsum_hit": 30,
    "rapid_clicks": 30,
    "duplicate_click": 20,
    "honeypot": 40,
    "bot_user_agent": 50,
    "webdriver_present": 60,
    "missing_plugins": 15,
    "consistent_timing": 25,
    "same_ip_pattern": 20,
}
BY_ITSELF: dict[str, list[dict[str, Any]]] = {
    "datacenter_ip": [{"address": AddressFacts(hosting="Hetzner")}],
    "vpn_detected": [
        {"address": AddressFacts(vpn="Mullvad")},
        {"address": AddressFacts(proxy=True)},
        {"signals": {"vpn": {"provider": "Mullvad"}}},
        {"signals": {"proxy": True}},
    ],
    "tor_exit": [{"address": AddressFacts(tor=True)}],
    "ipsum_hit": [{"address": AddressFacts(listed=True)}],
    "honeypot": [{"signals": {"honeypot": True}}],
    "bot_user_agent": [{"agent_facts": AgentFacts(bot="curl")}],
    "webdriver_present": [{"signals": {"webdriver": True}}],
    "missing_plugins": [{"signals": {"plugins": 0}}, {"signals": {"plugins": []}}, {"signals": {"plugins": False}}],
}
INNOCENT: list[dict[str, Any]] = [
    {},
    {"address": AddressFacts(country="DE")},
    {"agent_facts": AgentFacts(browser="Chrome", os="Windows")},
    {"signals": {"webdriver": False, "honeypot": False, "proxy": False, "vpn": None}},
    {"signals": {"plugins": 3}},
    {"signals": {"plugins": ["PDF Viewer"]}},
    {"signals": {"plugins": None}},
]


def judged(account: Account, *args: Any, **more: Any) -> Judgement:
    judgement = account.take(activity(*args, **more)).judgement
    assert judgement
    return judgement


@pytest.mark.parametrize("kind", [Kind.CLICK, Kind.VISIT])
@pytest.mark.parametrize(("rule", "said"), [(rule, said) for rule, cases in BY_ITSELF.items() for said in cases])
def test_a_rule_of_the_activity_itself_gives_its_points_and_says_so(
    kind: Kind, rule: str, said: dict[str, Any]
) -> None:
    """Alone, for clicks and visits alike."""
    judgement = judged(Account(), kind=kind, ip=IP, **said)
    assert (judgement.score, judgement.reasons) == (POINTS[rule], ((rule, POINTS[rule]),))


@pytest.mark.parametrize("said", INNOCENT)
def test_what_is_in_order_or_not_said_gives_no_points(said: dict[str, Any]) -> None:
    """Neither a denial nor silence counts against a visitor."""
    assert judged(Account(), ip=IP, **said) == Judgement(score=0, label="CLEAN", action="ALLOW", reasons=())


# Of clicks that all come from one address unless said otherwise: (what is posted in order), and whether the rule holds
# for each. Agents differ and spacing is uneven, unless that is what is tested, so that a rule is seen alone.
COMPARED = {
    "rapid_clicks": [
        ("four", [0, 7, 19, 41], [False] * 4),
        ("five", [0, 7, 19, 41, 50], [False] * 4 + [True]),
        ("the window's end counts", [0, 7, 19, 41, 60], [False] * 4 + [True]),
        ("beyond it", [0, 7, 19, 41, 60.001], [False] * 5),
        ("a sixth", [0, 7, 19, 41, 50, 66], [False] * 4 + [True, True]),
        ("it slides", [0, 7, 19, 41, 61, 62], [False] * 5 + [True]),
        ("backwards", [50, 41, 19, 7, 0], [False] * 4 + [True]),
        ("the middle comes late", [0, 7, 41, 50, 19], [False] * 4 + [True]),
        ("a late one that makes no five", [100, 107, 119, 141, 10], [False] * 5),
        ("one instant", [5, 5, 5, 5, 5], [False] * 4 + [True]),
    ],
    "consistent_timing": [
        ("four", [0, 100, 200, 300], [False] * 4),
        ("five", [0, 100, 200, 300, 400], [False] * 4 + [True]),
        # gaps 95, 105, 95, 105: deviation 5, mean 100
        ("five percent", [0, 95, 200, 295, 400], [False] * 5),
        ("a little less", [0, 95.1, 200, 295.1, 400], [False] * 4 + [True]),
        ("backwards", [400, 300, 200, 100, 0], [False] * 4 + [True]),
        ("the middle comes late", [0, 100, 300, 400, 200], [False] * 4 + [True]),
        ("after a break", [0, 1000, 1100, 1200, 1300, 1400], [False] * 5 + [True]),
        ("one that is out of step ends it", [0, 100, 200, 300, 400, 450], [False] * 4 + [True, False]),
        ("no spacing at all", [5, 5, 5, 5, 5], [False] * 5),
        ("six hours apart: a day", [0, 21_600, 43_200, 64_800, 86_400], [False] * 4 + [True]),
        ("more than a day", [0, 21_601, 43_202, 64_803, 86_404], [False] * 5),
    ],
}


@pytest.mark.parametrize(
    ("rule", "instants", "holds"),
    [
        pytest.param(rule, instants, holds, id=f"{rule}: {name}")
        for rule, cases in COMPARED.items()
        for name, instants, holds in cases
    ],
)
def test_clicks_of_one_address_are_compared(rule: str, instants: list[float], holds: list[bool]) -> None:
    """By `at`, whatever the order of arrival, at the edge of the rule and beyond it."""
    account = Account()
    found = [
        rule in account.reasons(activity(at, ip=IP, agent=f"agent {n}", campaign=None)) for n, at in enumerate(instants)
    ]
    assert found == holds


@pytest.mark.parametrize(
    ("first", "second", "holds"),
    [
        ({}, {"at": 30}, True),
        ({}, {"at": 60}, True),
        ({}, {"at": 60.001}, False),
        ({"at": 30}, {}, True),
        ({"at": 60.001}, {}, False),
        ({}, {"at": 1, "ip": "203.0.113.8"}, False),
        ({}, {"at": 1, "agent": "other"}, False),
        ({}, {"at": 1, "campaign": 8}, False),
        ({}, {"at": 1, "campaign": "7"}, True),
        ({}, {"at": 1, "ip": "::ffff:203.0.113.7"}, True),
        ({"ip": "2001:db8::1"}, {"at": 1, "ip": "2001:DB8:0::1"}, True),
        ({"agent": None}, {"at": 1, "agent": None}, False),
        ({"campaign": None}, {"at": 1, "campaign": None}, False),
        ({"ip": None}, {"at": 1, "ip": None}, False),
        ({"ip": "nonsense"}, {"at": 1, "ip": "nonsense"}, False),
        ({"kind": Kind.VISIT}, {"at": 1}, False),
        ({}, {"at": 1, "kind": Kind.VISIT}, False),
    ],
)
def test_a_duplicate_has_the_same_address_agent_and_campaign(
    first: dict[str, Any], second: dict[str, Any], *, holds: bool
) -> None:
    """Within a minute either way; what is unknown is not the same."""
    account = Account()
    account.take(activity(**{"at": 0, "ip": IP} | first))
    assert ("duplicate_click" in account.reasons(activity(**{"ip": IP} | second))) == holds


@pytest.mark.parametrize(
    ("addresses", "instants", "holds"),
    [
        ([f"203.0.113.{n}" for n in range(4)], [0, 70, 190, 410], False),
        ([f"203.0.113.{n}" for n in range(5)], [0, 70, 190, 410, 600], True),
        ([f"203.0.113.{n}" for n in range(5)], [0, 70, 190, 410, 600.001], False),
        ([f"203.0.113.{n}" for n in range(5)], [600, 70, 190, 410, 0], True),
        (["203.0.113.9"] * 5, [0, 70, 190, 410, 600], True),
        (["203.0.113.1"] * 4 + ["203.0.114.1"], [0, 70, 190, 410, 600], False),
        ([f"2001:db8:7:{n}::1" for n in range(5)], [0, 70, 190, 410, 600], True),
        ([f"2001:db8:{n}::1" for n in range(5)], [0, 70, 190, 410, 600], False),
        ([f"::ffff:203.0.113.{n}" for n in range(5)], [0, 70, 190, 410, 600], True),
        (["10.0.0.1"] * 5, [0, 70, 190, 410, 600], True),
    ],
)
def test_a_network_on_one_campaign_is_a_pattern(addresses: list[str], instants: list[float], *, holds: bool) -> None:
    """Five clicks of one /24 or /48 in ten minutes; private addresses count as any others."""
    account = Account()
    for n, (ip, at) in enumerate(zip(addresses, instants, strict=True)):
        reasons = account.reasons(activity(at, ip=ip, agent=f"agent {n}"))
    assert ("same_ip_pattern" in reasons) == holds
    others = Account()
    for n, (ip, at) in enumerate(zip(addresses, instants, strict=True)):
        assert "same_ip_pattern" not in others.reasons(activity(at, ip=ip, agent=f"agent {n}", campaign=n))


def test_all_at_once_is_a_hundred_and_says_all_in_the_order_of_the_rules() -> None:
    """The sum is 365; the reasons keep their points."""
    account = Account()
    everything = AddressFacts(hosting="Hetzner", vpn="Mullvad", tor=True, listed=True)
    for at in range(5):
        judgement = judged(
            account,
            at * 10,
            ip=IP,
            address=everything,
            agent_facts=AgentFacts(bot="curl"),
            signals={"honeypot": True, "webdriver": True, "plugins": 0},
        )
    assert judgement.reasons == tuple(POINTS.items())
    assert (judgement.score, judgement.label, judgement.action) == (100, "FRAUD", "BLOCK")


@pytest.mark.parametrize(
    ("score", "label", "action"),
    [
        (0, "CLEAN", "ALLOW"),
        (39, "CLEAN", "ALLOW"),
        (40, "SUSPICIOUS", "REVIEW"),
        (69, "SUSPICIOUS", "REVIEW"),
        (70, "FRAUD", "BLOCK"),
        (100, "FRAUD", "BLOCK"),
    ],
)
def test_labels_change_at_their_scores(score: int, label: str, action: str) -> None:
    """Forty and seventy."""
    judgement = judged(Account(), signals={"score": score})
    assert (judgement.score, judgement.label, judgement.action) == (score, label, action)


def test_own_labels() -> None:
    """An account moves both borders."""
    account = Account(TriggerSettings(suspicious_from=10, fraud_from=20))
    assert [judged(account, signals={"score": score}).label for score in (9, 10, 19, 20)] == [
        "CLEAN",
        "SUSPICIOUS",
        "SUSPICIOUS",
        "FRAUD",
    ]
    with pytest.raises(msgspec.ValidationError, match="suspicious_from must not be above fraud_from"):
        msgspec.convert({"suspicious_from": 80}, TriggerSettings)


@pytest.mark.parametrize(
    ("signals", "score", "reasons"),
    [
        ({"score": 85}, 85, ()),
        ({"score": 0, "webdriver": True}, 0, (("webdriver_present", 60),)),
        ({"score": 85, "reasons": ["their_rule"]}, 85, (("their_rule", 0),)),
        ({"score": 85, "reasons": [{"rule": "a", "points": 5}, {"rule": "b", "score": 80}]}, 85, (("a", 5), ("b", 80))),
        ({"score": 85, "reasons": [], "honeypot": True}, 85, (("honeypot", 40),)),
        ({"reasons": ["their_rule"], "honeypot": True}, 40, (("honeypot", 40),)),
        ({"score": None, "honeypot": True}, 40, (("honeypot", 40),)),
    ],
)
def test_a_producers_own_score_stands(
    signals: dict[str, Any], score: int, reasons: tuple[tuple[str, int], ...]
) -> None:
    """With its reasons; where it gives none, they say what held here."""
    judgement = judged(Account(), ip=IP, signals=signals)
    assert (judgement.score, judgement.reasons) == (score, reasons)


def test_a_click_that_came_with_a_score_counts_for_the_next() -> None:
    """Its address clicked, whoever judged it."""
    account = Account()
    for at in (0, 7, 19, 41):
        account.take(activity(at, ip=IP, signals={"score": 0}))
    assert "rapid_clicks" in account.reasons(activity(50, ip=IP))


def test_points_are_the_accounts_and_nothing_turns_a_rule_off() -> None:
    """Zero points: the rule is not in the reasons either."""
    account = Account(TriggerSettings(points=ScoringPoints(honeypot=0, webdriver_present=7)))
    assert judged(account, signals={"honeypot": True, "webdriver": True}).reasons == (("webdriver_present", 7),)
    assert ScoringPoints() == ScoringPoints(**POINTS)
    assert tuple(POINTS) == scoring.RULES


def test_windows_are_the_accounts() -> None:
    """How many clicks, and in how long."""
    account = Account(TriggerSettings(windows=ScoringWindows(rapid_clicks=2, rapid_clicks_s=5)))
    assert [account.reasons(activity(at, ip=IP, campaign=None)) for at in (0, 6, 11)] == [[], [], ["rapid_clicks"]]
    account = Account(TriggerSettings(windows=ScoringWindows(duplicate_click_s=5)))
    assert [account.reasons(activity(at, ip=IP)) for at in (0, 6, 11)] == [[], [], ["duplicate_click"]]
    account = Account(TriggerSettings(windows=ScoringWindows(same_ip_pattern=2, same_ip_pattern_s=5)))
    found = [account.reasons(activity(at, ip=IP, agent=str(at))) for at in (0, 6, 11)]
    assert found == [[], [], ["same_ip_pattern"]]
    account = Account(TriggerSettings(windows=ScoringWindows(consistent_timing_clicks=3, consistent_timing_percent=50)))
    found = [account.reasons(activity(at, ip=IP, campaign=None)) for at in (0, 100, 200, 250, 320)]
    assert found == [[], [], ["consistent_timing"], ["consistent_timing"], ["consistent_timing"]]


def test_what_is_remembered_of_an_address_is_bounded() -> None:
    """Ten thousand clicks of an address in a minute are less than two KiB, and a day of them likewise."""
    account = Account()
    for n in range(10_000):
        account.take(activity(n * 0.006, ip=IP, agent=f"agent {n % 700}"))
    puts = account.state.changes().puts
    value, until = puts[f"address:{IP}"]
    assert len(value) < 2_048
    assert until == AT + 9_999 * 6 + 300_000 + 86_400_000
    value, until = puts["network:203.0.113.0/24|7"]
    assert len(value) < 128
    assert until == AT + 9_999 * 6 + 300_000 + 86_400_000


def test_files_that_are_posted_hour_by_hour_are_compared_with_one_another() -> None:
    """Clicks of one pattern count together where the server saw them an hour apart, in one file and the next."""
    account = Account()
    for n in range(4):
        account.take(activity(n, accepted_at=3_600, ip=f"203.0.113.{n}", agent=f"agent {n}"))
    decision = account.take(activity(4, accepted_at=7_200, ip="203.0.113.9", agent="agent"))
    assert "same_ip_pattern" in dict(decision.judgement.reasons)


def test_what_is_remembered_goes_by_acceptance() -> None:
    """A click of last year that is posted today is kept from today on, to be compared with those posted beside it."""
    account = Account()
    account.take(activity(-31_536_000, accepted_at=0, ip=IP))
    assert account.state.changes().puts[f"address:{IP}"][1] == AT + 300_000 + 86_400_000


@given(
    st.lists(st.integers(0, 120), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_the_last_of_a_group_is_judged_alike_in_every_order(instants: list[int], random: Any) -> None:
    """Whatever the order of the clicks before it, a click is compared with the same clicks."""
    last = instants[-1]
    verdicts = []
    for _ in range(3):
        account = Account()
        before = list(enumerate(instants[:-1]))
        random.shuffle(before)
        for n, at in before:
            account.take(activity(at, ip=IP, agent=f"agent {n % 2}"))
        verdicts.append(account.reasons(activity(last, ip=IP, agent="agent 0")))
    assert verdicts[0] == verdicts[1] == verdicts[2]


def _rapid(instants: list[int], at: int) -> bool:
    """A plain recount: some five of them, this one among them, lie within a minute."""
    return any(at in five and max(five) - min(five) <= 60 for five in itertools.combinations([*instants, at], 5))


@given(st.lists(st.integers(0, 150), max_size=8), st.integers(0, 150))
def test_rapid_clicks_are_a_recount(instants: list[int], at: int) -> None:
    """As counting all groups of five says."""
    account = Account()
    for n, one in enumerate(instants):
        account.take(activity(one, ip=IP, agent=f"agent {n}", campaign=None))
    assert ("rapid_clicks" in account.reasons(activity(at, ip=IP, campaign=None))) == _rapid(instants, at)


@given(
    st.builds(
        AddressFacts,
        hosting=st.none() | st.just("h"),
        vpn=st.none() | st.just("v"),
        tor=st.booleans(),
        proxy=st.booleans(),
        listed=st.booleans(),
    ),
    st.fixed_dictionaries(
        {}, optional={"honeypot": st.booleans(), "webdriver": st.booleans(), "plugins": st.integers(0, 2)}
    ),
    st.builds(ScoringPoints, **{rule: st.integers(0, 100) for rule in POINTS}),
    st.lists(st.integers(0, 40), min_size=1, max_size=7),
)
def test_a_score_is_the_clamped_sum_of_its_reasons(
    address: AddressFacts, signals: dict[str, Any], points: ScoringPoints, instants: list[int]
) -> None:
    """Each rule once, with the account's points, in the order of the rules."""
    account = Account(TriggerSettings(points=points))
    for at in instants:
        judgement = judged(account, at, ip=IP, address=address, signals=signals)
        assert judgement.score == min(100, sum(given for _, given in judgement.reasons))
        assert [rule for rule, _ in judgement.reasons] == [rule for rule in POINTS if rule in dict(judgement.reasons)]
        assert all(given == getattr(points, rule) > 0 for rule, given in judgement.reasons)


def test_the_time_of_acceptance_judges_nothing() -> None:
    """The same clicks posted an hour later in one batch are judged alike."""
    live, late = Account(), Account()
    for at in (0, 7, 19, 41, 50, 60, 70, 80, 90):
        posted = activity(at, ip=IP)
        assert live.reasons(posted) == late.reasons(msgspec.structs.replace(posted, accepted_at=Millis(AT + 3_600_000)))
