"""``tocsin demo``: it shows the whole, and it would show if something were wrong."""

import asyncio
import dataclasses
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import Terminal
from tests.support.waiting import until
from tocsin import profiles
from tocsin.cli.demo.chat_report import ChatRow, judge_chat
from tocsin.cli.demo.happenings import TrafficRow, happenings, judge_traffic
from tocsin.cli.demo.report import Row, judge_webhook
from tocsin.cli.demo.scenario import PARTS, retry_scale
from tocsin.cli.demo.server import ServerProcess
from tocsin.cli.demo.traffic import FEW, plan, stops_by_itself
from tocsin.cli.exits import Failure
from tocsin.cli.traffic import Made
from tocsin.clock import Millis
from tocsin.engine.dispatching.lanes import START_IN_FLIGHT
from tocsin.profiles import DisablePolicy
from tocsin.receiver.doubles import Raw, Refused, Shown
from tocsin.receiver.doubles.display import Text, plain
from tocsin.receiver.inbox.arrivals import Arrival
from tocsin.receiver.inbox.judging import Verdict


@pytest.mark.slow
def test_the_demonstration(terminal: Terminal) -> None:
    """It ends with 0: several hundred events, every receiver's story as foreseen, every arrival verified."""
    shown = terminal.json("demo")
    assert shown["ok"] is True
    assert shown["events"] > 500
    assert shown["seconds"] < 30  # the contract's own promise
    assert [row["profile"] for row in shown["traffic"]] == list(profiles.names())
    for row in shown["traffic"]:
        assert row["faults"] == []
        assert row["activities"] > 150
        assert row["events"] == sum(row["types"].values()) > 10
        assert (row["fraud"], row["found"] >= 30) == (50, True)
    rows = {(row["profile"], row["receiver"]): row for row in shown["rows"]}
    played = {(name, part.name) for name in profiles.names() for part in PARTS if part.plays(profiles.load(name))}
    assert rows.keys() == played
    assert {name for name, _ in played} == {"standard", "clickdefender", "cloakradar", "cue", "trcker", "visits"}
    assert ("clickdefender", "hangs") not in played  # it waits for 30 s
    for row in rows.values():
        assert row["faults"] == []
        assert row["verified"] == row["requests"] > 0
        assert row["arrived"] == row["expected"]
        assert row["duplicates"] == 0
    healthy, twice, hangs = (rows["standard", name] for name in ("healthy", "fails twice", "hangs"))
    assert (healthy["retries"], twice["retries"]) == (0, 2 * twice["expected"])
    assert hangs["states"] == {"succeeded": hangs["expected"]}
    gone = {name: rows[name, "gone"] for name in profiles.names()}
    assert {name: row["status"] for name, row in gone.items() if row["status"] != "active"} == {
        "standard": "disabled",
        "cloakradar": "failed",
    }
    assert "last retry" in gone["cloakradar"]["status_reason"]
    for name, row in gone.items():
        if name != "standard":  # 410 is a failure like any other: the whole schedule is walked
            assert row["requests"] == row["expected"] * (len(profiles.load(name).schedule_s) + 1)
            assert row["states"] == {"failed": row["expected"]}
    services = ("Slack", "Telegram", "Discord", "e-mail")
    chats = {(row["profile"], row["chat"]): row for row in shown["chats"]}
    assert list(chats) == [(name, service) for name in ("standard", "cloakradar") for service in services]
    for (name, _), row in chats.items():
        assert row["faults"] == []
        assert row["alerts"] == rows[name, "healthy"]["expected"] == row["singles"] + row["counted"]
        assert row["messages"] == row["singles"] + row["summaries"] + row["notices"] < 20
        assert (row["throttled"], row["refused"]) == (0, 0)
        assert " alerts in " in row["sample"]
        assert (row["edits"] > 0) == (row["chat"] in ("Telegram", "Discord"))
    assert sum(row["notices"] for row in chats.values()) == 2  # the two webhooks that were stopped
    assert list(terminal.folder.iterdir()) == []


@pytest.mark.slow
def test_keeping_it(terminal: Terminal) -> None:
    """--keep leaves server and receivers running, says where and with which keys, and ends them when told to."""
    said = terminal.folder / "said"
    with said.open("wb") as err:
        process = subprocess.Popen(
            terminal.command("demo", "--keep"), stdout=subprocess.DEVNULL, stderr=err, env=terminal.environ
        )
    try:
        until(lambda: "tocsin deliveries list" in said.read_text(), said.read_text, 40)
        exported = dict(
            line.split("export TOCSIN_", 1)[1].split()[0].split("=", 1)
            for line in reversed(said.read_text().splitlines())  # of several accounts the first counts: `standard`
            if "export TOCSIN_" in line
        )
        asked = {"url": exported["URL"], "key": exported["KEY"]}
        pages = re.findall(r"(http://\S+/)   # (\S+), as people see it", said.read_text())
        assert [name for _, name in pages] == ["Slack", "Telegram", "Discord", "e-mail"]
        for page, _ in pages:
            assert httpx.get(page, trust_env=False).headers["content-type"].startswith("text/html")
            assert " alerts in " in httpx.get(f"{page}messages.json", trust_env=False).text
        assert len(terminal.json("deliveries", "list", "--limit", 1000, **asked)) > 250
        assert terminal.json("send", "click.created", "--example", "--wait", **asked)["delivered"]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(15) == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(exported["URL"], trust_env=False)


def test_an_interrupt_cleans_up(terminal: Terminal) -> None:
    """Interrupted half way, it ends its server, removes its directory, and does not call it a success."""
    temporary = terminal.folder / "tmp"
    temporary.mkdir()
    said = terminal.folder / "said"
    with said.open("wb") as err:
        process = subprocess.Popen(
            terminal.command("demo"),
            stdout=subprocess.DEVNULL,
            stderr=err,
            env=terminal.environ | {"TMPDIR": str(temporary)},
        )
    until(lambda: "A server runs at" in said.read_text(), said.read_text, 30)
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 1
    assert list(temporary.iterdir()) == []
    url = said.read_text().split("A server runs at ")[1].split(";")[0]
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)


def test_a_server_that_does_not_start(terminal: Terminal, tmp_path: Path) -> None:
    """Where the server cannot start, that is a failure that shows the end of the server's log."""

    async def start() -> None:
        (tmp_path / "tocsin.db").write_text("no database")
        server = ServerProcess(tmp_path, 1.0)
        try:
            await server.start()
        finally:
            await server.stop()

    with pytest.raises(Failure) as caught:
        asyncio.run(start())
    assert "no database" in "".join(caught.value.lines)


# --- would it notice? ---------------------------------------------------------------------------------------------

STANDARD = profiles.load("standard")
HEALTHY, TWICE, HANGS, GONE = PARTS


def arrival(n: int, id_: str, *, nth: int = 1, duplicate: bool = False, **verdict: Any) -> Arrival:
    found = {"verified": True, "profile": "standard", "id": id_} | verdict
    return Arrival(
        n=n, at=Millis(1000), method="POST", path="/", headers=(), body=b"{}", verdict=Verdict(**found), nth=nth,
        duplicate=duplicate,
    )  # fmt: skip


def delivery(event: str, status: str = "succeeded", code: int | None = 200, **more: Any) -> dict[str, Any]:
    return {
        "id": f"dlv_{event}", "event_id": event, "status": status, "status_code": code, "attempt_count": 1, **more
    }  # fmt: skip


def judged(arrivals: list[Arrival], deliveries: list[dict[str, Any]], part=HEALTHY, status: str = "active") -> Row:
    expected: Mapping[str, float] = {"evt_1": 0.9, "evt_2": 0.9}
    return judge_webhook(
        profile="standard",
        part=part,
        fate=part.fate(STANDARD),
        webhook={"id": "wh_1", "status": status, "status_reason": "for a reason"},
        expected=expected,
        deliveries=deliveries,
        arrivals=arrivals,
    )


WELL = ([arrival(1, "evt_1"), arrival(2, "evt_2")], [delivery("evt_1"), delivery("evt_2")])


def test_what_is_well_is_found_well() -> None:
    """The arrivals and deliveries that the scenario foresees have no fault."""
    assert judged(*WELL).faults == []


@pytest.mark.parametrize(
    ("arrivals", "deliveries", "fault"),
    [
        (WELL[0][:1], WELL[1], "arrivals: 1 are missing"),
        ([*WELL[0], arrival(3, "evt_3")], WELL[1], "arrivals: 1 were not foreseen"),
        ([*WELL[0], arrival(3, "evt_2", nth=2)], WELL[1], "evt_2 arrived 2 times, not 1"),
        ([*WELL[0], arrival(3, "evt_2", nth=2, duplicate=True)], WELL[1], "after it was answered 2xx"),
        ([WELL[0][0], arrival(2, "evt_2", verified=False, sentence="forged")], WELL[1], "does not verify: forged"),
        ([WELL[0][0], arrival(2, "evt_2", verified=None)], WELL[1], "does not verify"),
        ([WELL[0][0], arrival(2, "evt_2", profile="cue")], WELL[1], "in the dialect cue"),
        (WELL[0], WELL[1][:1], "deliveries: 1 are missing"),
        (WELL[0], [*WELL[1], delivery("evt_2")], "deliveries: 1 are there twice"),
        (WELL[0], [WELL[1][0], delivery("evt_2", "retrying")], "should have succeeded and is retrying"),
        (WELL[0], [WELL[1][0], delivery("evt_2") | {"attempt_count": 2}], "took 2 attempts"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(arrivals: list[Arrival], deliveries: list[dict[str, Any]], fault: str) -> None:
    """Whatever goes otherwise than foreseen is a fault that says what."""
    assert any(fault in one for one in judged(arrivals, deliveries).faults)


def test_a_webhook_in_the_wrong_state_is_found() -> None:
    """A webhook that is disabled without being meant to be is a fault, with the reason."""
    assert judged(*WELL, status="disabled").faults == ["the webhook should be active and is disabled (for a reason)"]


def test_another_way_is_found() -> None:
    """Attempts that went otherwise than foreseen are a fault, even where the end is right."""
    went = [{"outcome": "http_error", "status_code": 500}, {"outcome": "succeeded", "status_code": 200}]
    arrivals = [arrival(n, f"evt_{n % 2 + 1}", nth=n // 2 + 1) for n in range(6)]
    row = judged(arrivals, [delivery(f"evt_{n}", attempts=went) for n in (1, 2)], TWICE)
    assert "dlv_evt_1 should have gone 500, 503, 200 and went 500, 200" in row.faults


# --- would it notice what goes wrong in a chat? --------------------------------------------------------------------

WEBHOOK = {"id": "wh_1", "status": "active", "status_reason": "for a reason"}
CHAT_SINGLES = [delivery(f"evt_{n}", digest_id=None, members=None, type="click.new") for n in (1, 2)]
CHAT_MEMBERS = [
    delivery(f"evt_{n}", "digested", digest_id="dig_9", members=None, type="click.new") for n in range(3, 1203)
]
DIGEST = delivery("evt_9999", digest_id=None, members=1200, type="tocsin.digest") | {"id": "dig_9"}
CHAT_DELIVERIES = [*CHAT_SINGLES, *CHAT_MEMBERS, DIGEST]
TEXTS = {
    "dlv_evt_1": "New Click\nPartner: Ω-Traffic",
    "dlv_evt_2": "New Click\nStop: http://x/links/***",
    "dig_9": "1,200 alerts in 5 seconds",
}


def posted(n: int, text: str, *, at: int = 0) -> Shown:
    raw = Raw(method="POST", path="/", headers=(), body=b"")
    return Shown(id=str(n), at=Millis(at), chat="#x", blocks=(Text(plain(text)),), raw=raw)


CHAT_MESSAGES = [posted(n, text.replace("***", "AQ-y_x")) for n, text in enumerate(TEXTS.values())]


def chat_judged(
    deliveries: list[dict[str, Any]] = CHAT_DELIVERIES, messages: list[Shown] = CHAT_MESSAGES, **more: Any
) -> ChatRow:
    return judge_chat(
        profile="standard",
        chat="Slack",
        webhook=more.get("webhook", WEBHOOK),
        expected={f"evt_{n}" for n in range(1, 1203)},
        deliveries=deliveries,
        texts=more.get("texts", TEXTS),
        messages=messages,
        refused=more.get("refused", ()),
        window_s=5,
        singles=more.get("singles", 2),
    )


def told(n: int, text: str) -> dict[str, Any]:
    """The n-th of the messages says something else, and so does the log."""
    messages = [posted(at, text) if at == n else one for at, one in enumerate(CHAT_MESSAGES, 1)]
    return {"messages": messages, "texts": TEXTS | {list(TEXTS)[n - 1]: text}}


def changed(id_: str, **fields: Any) -> list[dict[str, Any]]:
    return [one | fields if one["id"] == id_ else one for one in CHAT_DELIVERIES]


def test_a_chat_that_is_well_is_found_well() -> None:
    """Two alerts of their own and a summary of 1,200 make 1,202."""
    row = chat_judged()
    assert row.faults == []
    assert (row.alerts, row.messages, row.singles, row.counted, row.summaries) == (1202, 3, 2, 1200, 1)
    assert row.sample == "1,200 alerts in 5 seconds"


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"deliveries": CHAT_DELIVERIES[1:]}, "alerts: 1 are missing, such as that of evt_1"),
        ({"deliveries": [*CHAT_DELIVERIES, CHAT_DELIVERIES[5]]}, "alerts: 1 are there twice"),
        ({"deliveries": changed("dlv_evt_2", status="failed")}, "dlv_evt_2 should have succeeded and is failed"),
        ({"deliveries": changed("dig_9", status="pending")}, "dig_9 should have succeeded and is pending"),
        ({"deliveries": changed("dlv_evt_7", status="pending")}, "dlv_evt_7 is in dig_9 and is pending"),
        ({"deliveries": changed("dlv_evt_7", digest_id="dig_8")}, "dlv_evt_7 is in dig_8, which is not there"),
        ({"deliveries": changed("dig_9", members=1199)}, "dig_9 says 1199 and has 1200"),
        ({"messages": CHAT_MESSAGES[1:]}, "the message of dlv_evt_1 is not in the chat as it was sent"),
        ({"messages": [*CHAT_MESSAGES, CHAT_MESSAGES[0]]}, "'New Click' came unforeseen"),
        ({"texts": TEXTS | {"dlv_evt_1": "New Click"}}, "the message of dlv_evt_1 is not in the chat as it was sent"),
        ({"texts": {}}, "the message of dig_9 is not in the chat as it was sent"),
        (told(3, "1,199 alerts in 5 seconds"), "dig_9 stands for 1200; its message begins '1,199 alerts"),
        (told(1, "2 alerts in 1 second"), "dlv_evt_1 stands for 1; its message begins '2 alerts"),
        ({"singles": 1}, "2 alerts were sent on their own in 1.0 s; the settings allow 1"),
        ({"webhook": WEBHOOK | {"status": "disabled"}}, "should be active and is disabled (for a reason)"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_chat_is_found(found: dict[str, Any], fault: str) -> None:
    """Alerts that are lost or doubled, summaries that miscount, messages of nobody, and too many of them."""
    assert any(fault in one for one in chat_judged(**found).faults), chat_judged(**found).faults


def test_what_a_chat_refuses() -> None:
    """Being too fast is counted; whatever else a service refuses is a fault."""
    raw = Raw(method="POST", path="/", headers=(), body=b"")
    refused = [
        Refused(at=Millis(0), status=status, name=name, why="it is so", body="", raw=raw)
        for status, name in ((429, "rate_limited"), (400, "invalid_blocks"))
    ]
    row = chat_judged(refused=refused)
    assert (row.throttled, row.refused, row.faults) == (1, 1, ["refused as invalid_blocks: it is so"])


def test_more_windows_allow_more() -> None:
    """Of two windows twice as many may be sent on their own."""
    later = [posted(n, text, at=4_500 * n) for n, text in enumerate(TEXTS.values())]
    assert chat_judged(messages=later, singles=1).faults == []


# --- would it notice that something else fired? -------------------------------------------------------------------

CLICKDEFENDER = profiles.load("clickdefender")


def traffic(profile: profiles.Profile, *labels: str, events: tuple[str, ...] = (), **more: Any) -> TrafficRow:
    """One visitor's clicks that were judged so, in an account that says these events fired with the last."""
    posted = [
        Made(at=Millis(n), body={"kind": "click", "external_id": f"c-{n}", "visitor": {"id": "v"}}, pattern="metronome")
        for n in range(len(labels))
    ]
    results: list[dict[str, Any]] = [
        {"id": f"act_{n}", "duplicate": False, "events": [], "score": 75, "label": label, "reasons": []}
        for n, label in enumerate(labels)
    ]
    results[-1]["events"] = [{"id": f"evt_{n}", "type": name} for n, name in enumerate(events)]
    again = more.get("again", [{**results[-1], "duplicate": True}])
    return judge_traffic(profile, posted, results, again, more.get("like", results))


def test_labels_fire_once_where_the_dialect_says_so() -> None:
    """A label that has risen, or each labelled click: the dialect's data decides which; another number is a fault."""
    rising = ("SUSPICIOUS", "SUSPICIOUS")
    assert traffic(CLICKDEFENDER, *rising, events=("high_risk_visitor",)).faults == []
    assert "high_risk_visitor fired 0 times, not 2" in traffic(CLICKDEFENDER, *rising).faults
    assert "fraud_detected fired 1 times, not 0" in traffic(CLICKDEFENDER, "CLEAN", events=("fraud_detected",)).faults


def test_what_fires_too_much_or_too_little_is_found() -> None:
    """An event that is missing, or one too many, is a fault that names the type."""
    right = ("click.created", "fraud.detected")
    assert traffic(STANDARD, "FRAUD", events=right).faults == []
    assert traffic(STANDARD, "FRAUD", events=right[1:]).faults == ["click.created fired 0 times, not 1"]
    assert traffic(STANDARD, "FRAUD", events=(*right, "bot.detected")).faults == ["bot.detected fired 1 times, not 0"]


def test_what_is_counted_twice_or_judged_otherwise_is_found() -> None:
    """An activity that is taken again, or that another account judges otherwise, is a fault."""
    once = {"id": "act_9", "duplicate": False, "events": []}
    fired = {"events": ("click.created", "fraud.detected")}
    assert "posted again, 1 were not recognised" in traffic(STANDARD, "FRAUD", again=[once], **fired).faults[0]
    assert "1 are judged otherwise" in traffic(STANDARD, "FRAUD", like=[{"label": "CLEAN"}], **fired).faults[0]


def test_fraud_that_is_missed_is_found() -> None:
    """Clicks of a fraud that is not recognised, and honest ones that are suspected, are faults."""
    posted = [
        Made(
            at=Millis(n), body={"kind": "click", "external_id": f"c-{n}", "visitor": {"id": f"v-{n}"}}, pattern=pattern
        )
        for n, pattern in enumerate(("rapid_clicks", None, None))
    ]
    results = [
        {"id": "a", "duplicate": False, "events": [], "score": 50, "label": label, "reasons": []}
        for label in ("CLEAN", "SUSPICIOUS", "SUSPICIOUS")
    ]
    faults = judge_traffic(CLICKDEFENDER, posted, results, [], results).faults
    assert "of 1 clicks of the fraud rapid_clicks only 0 were found" in faults
    assert "2 honest clicks were suspected" in faults


# --- by data ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", profiles.names())
def test_traffic_is_the_catalogues(name: str) -> None:
    """The traffic has every type of the catalogue, each event valid and different, the same for the same seed."""
    profile = profiles.load(name)
    made = plan(profile, 1)
    events = [*made.first, *made.rest]
    assert {event.type for event in events} == set(profile.catalogue)
    assert all(profile.catalogue[event.type].validator.is_valid(event.data) for event in events)
    assert len({event.external_id for event in events}) == len(events)
    assert len({repr(event.data) for event in events}) > len(events) * 0.7
    assert made == plan(profile, 1) != plan(profile, 2)


@pytest.mark.parametrize("name", profiles.names())
def test_the_parts_fit_the_traffic(name: str) -> None:
    """Few events for the receiver that hangs, so that all are under way at once; one for a webhook that it stops."""
    profile = profiles.load(name)
    made = plan(profile, 1)
    every = [event.type for event in (*made.first, *made.rest)]
    assert every.count(made.few_type) == FEW <= START_IN_FLIGHT
    assert made.few_type not in made.some_types
    if stops_by_itself(profile):
        assert [event.type for event in made.first].count(made.one_type) == 1
        assert made.one_type in {event.type for event in made.rest}  # what comes later meets a stopped webhook


@pytest.mark.parametrize("hour", [0.0, 0.5, 12.0, 23.99])
def test_activity_is_of_the_day_before(hour: float) -> None:
    """Whatever the hour, all of the activity lies before the demonstration's start: counted events' webhooks filter by
    that.
    """
    now = Millis(1_795_219_200_000 + round(hour * 3_600_000))
    assert now - 2 * 86_400_000 < min(made.at for made in happenings(1, now))
    assert max(made.at for seed in (1, 2, 3) for made in happenings(seed, now)) < now


def test_the_days_are_alike() -> None:
    """What two dialects both have a word for happens as often in either."""
    counts = {}
    for name in profiles.names():
        made = plan(profiles.load(name), 1)
        counts[name] = Counter(event.type for event in made.rest)
    assert counts["cloakradar"]["click.new"] == counts["cue"]["ad.click"] == counts["standard"]["click.created"] > 0
    assert counts["trcker"]["conversion.created"] == counts["cloakradar"]["conversion.new"] > 0


def test_a_profile_that_goes_on_after_410() -> None:
    """Where 410 does not disable, each delivery to that receiver must use up its schedule, scaled to fit the time."""
    policy = DisablePolicy(on_exhausted=True, failing_for_s=None, warn_at_s=(), gone_disables=False)
    other = dataclasses.replace(STANDARD, disable=policy)
    fate = GONE.fate(other)
    assert (len(fate.steps), fate.ends, fate.webhook, fate.held) == (10, "failed", "failed", False)
    assert sum(other.schedule_s) * retry_scale({"other": other}) < 15


def test_the_longest_schedule_of_ours_fits() -> None:
    """75 hours (`visits`) and 26.6 (`clickdefender`) are over while a hanging receiver is still waited for."""
    found = {name: profiles.load(name) for name in profiles.names()}
    walked = {name: sum(one.schedule_s) for name, one in found.items() if not one.disable.gone_disables}
    assert walked["visits"] == max(walked.values()) > 75 * 3600
    assert round(walked["clickdefender"] / 3600, 1) == 26.6
    assert walked["visits"] * retry_scale(found) < 10


def test_who_waits_too_long_has_no_part() -> None:
    """A receiver that hangs for a whole minute would be waited for longer than the demonstration may take."""
    assert HANGS.plays(STANDARD)
    assert not HANGS.plays(dataclasses.replace(STANDARD, timeout_s=30.0))
