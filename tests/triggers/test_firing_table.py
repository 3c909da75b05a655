"""CONTRACT §5, the firing table, cell by cell: activity over HTTP to a server, and what a receiver of each dialect got.

``ROWS`` says what is posted and which types fire in which dialect; a dialect that a row does not name gets nothing.
``firing_table.json`` holds the bodies, whole but for ids of ours and the present. After a change that is meant, write
it anew with ``python -m tests.triggers.test_firing_table`` and read what has changed.
"""

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Shop
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.server import Server
from tests.support.waiting import until
from tocsin import profiles
from tocsin.receiver.verify import verify

BODIES = Path(__file__).with_name("firing_table.json")
AT = "2026-03-14T09:26:53Z"  # a Saturday; in Berlin 10:26 of the same day
VISITOR = {
    "id": "vis_7f3k",
    "ip": "203.0.113.24",
    "user_agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.3 Mobile/15E148 Safari/604.1",
    "country": "DE",
}
CAMPAIGN = {"id": 1042, "name": "Fibre – Spring"}
OFFER = {"id": "off_318", "name": "Fibre 500"}
PARTNER = {"id": "par_88", "name": "Sparfuchs Media"}
CLICK = {
    "kind": "click", "at": AT, "click_id": "clk_1", "campaign": CAMPAIGN, "offer": OFFER, "partner": PARTNER,
    "ad": {"id": "ad_5531"}, "visitor": VISITOR, "landing_url": "https://fibre.example/500", "cost": "0.42",
    "currency": "EUR", "session_id": "ses_1", "context": {"user_query": "fibre in Berlin"}, "keyword": "fibre",
}  # fmt: skip
VISIT = {
    "kind": "visit", "at": AT, "visit_id": "vst_1", "referrer": "https://mail.example/",
    "url": "https://fibre.example/spring?utm_source=newsletter&utm_medium=email&utm_campaign=spring",
    "visitor": {**VISITOR, "company": {"name": "Example AG", "domain": "example.com"}},
    "location": {"country": "Germany", "city": "Berlin", "state": "Berlin"}, "timezone": "Europe/Berlin",
    "device": {"model": "iPhone 16", "gpu": "Apple GPU", "hardware_concurrency": 6},
    "screen": {"height": 852, "width": 393, "touch": True},
}  # fmt: skip
CONVERSION = {
    "kind": "conversion", "at": AT, "conversion_id": "cnv_1", "click_id": "clk_1", "transaction_id": "FIB-1",
    "payout": "45.005", "revenue": 60.5, "currency": "EUR", "type": "sale", "campaign": CAMPAIGN, "offer": OFFER,
    "partner": PARTNER, "visitor": VISITOR, "sub1": "newsletter", "ad": {"id": "ad_5531"},
}  # fmt: skip


def _click(number: int = 1, **signals: Any) -> dict[str, Any]:
    return {**CLICK, "click_id": f"clk_{number}", "signals": {"score": 0, **signals}}


def _converted(number: int) -> dict[str, Any]:
    return {**CONVERSION, "conversion_id": f"cnv_{number}", "transaction_id": f"FIB-{number}"}


def _offer(**settings: Any) -> tuple[str, str, dict[str, Any]]:
    return "PUT", f"/v1/offers/{OFFER['id']}", {"name": OFFER["name"], **settings}


def _campaign(action: str, **more: Any) -> dict[str, Any]:
    return {"kind": "campaign", "at": AT, "action": action, "campaign": {**CAMPAIGN, **more}}


def _spend(amount: str) -> dict[str, Any]:
    return {"kind": "spend", "at": AT, "campaign": CAMPAIGN, "amount": amount, "currency": "EUR"}


def _partner(status: str) -> dict[str, Any]:
    return {"kind": "partner", "at": AT, "partner": PARTNER, "status": status, "reason": "Reviewed"}


def _status(number: int, status: str, **more: Any) -> dict[str, Any]:
    return {"kind": "conversion_status", "at": AT, "conversion_id": f"cnv_{number}", "status": status, **more}


def _now(activity: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in activity.items() if key != "at"}


_CLICKS = {"cloakradar": ["click.new"], "cue": ["ad.click"], "standard": ["click.created"]}
_CAPS = {
    "cloakradar": ["conversion.new", "conversion.new", "campaign.paused", "conversion.new"],
    "trcker": ["conversion.created", "conversion.created", "cap.reached", "conversion.created"],
    "cue": ["ad.conversion"] * 3,
    "standard": ["conversion.created", "conversion.created", "cap.reached", "conversion.created"],
}

# What is posted (an activity, or a call), and what fires, in order.
ROWS: Mapping[str, tuple[Sequence[Any], Mapping[str, Sequence[str]]]] = {
    "a click": ([_click()], _CLICKS),
    "a click of whom nothing is known": (
        [{"kind": "click", "at": AT, "click_id": 7}],
        _CLICKS,
    ),
    "a score of 70, twice of one visitor": (
        [_click(1, score=70, reasons=["honeypot"]), _click(2, score=75)],
        {
            "cloakradar": ["click.new", "fraud.detected"] * 2,
            "clickdefender": ["fraud_detected"],
            "cue": ["ad.click"] * 2,
            "standard": ["click.created", "fraud.detected"] * 2,
        },
    ),
    "a score of 40, then of 69, then of 39": (
        [_click(1, score=40, reasons=[{"rule": "honeypot", "points": 40}]), _click(2, score=69), _click(3, score=39)],
        {
            "cloakradar": ["click.new", "threat.high_risk"] * 2 + ["click.new"],
            "clickdefender": ["high_risk_visitor"],
            "cue": ["ad.click"] * 3,
            "standard": ["click.created", "visitor.high_risk"] * 2 + ["click.created"],
        },
    ),
    "a label that rises, and falls": (
        [_click(1, score=55), _click(2, score=75), _click(3, score=55)],
        {
            "cloakradar": [
                "click.new",
                "threat.high_risk",
                "click.new",
                "fraud.detected",
                "click.new",
                "threat.high_risk",
            ],
            "clickdefender": ["high_risk_visitor", "fraud_detected"],
            "cue": ["ad.click"] * 3,
            "standard": [
                *("click.created", "visitor.high_risk", "click.created"),
                *("fraud.detected", "click.created", "visitor.high_risk"),
            ],
        },
    ),
    "a score at the brand's threshold, and one above it": (
        [_click(1, score=80), _click(2, score=81, reasons=[{"rule": "honeypot", "points": 81}])],
        {
            "cloakradar": ["click.new", "fraud.detected"] * 2,
            "clickdefender": ["fraud_detected"],
            "trcker": ["fraud.high_risk"],
            "cue": ["ad.click"] * 2,
            "standard": ["click.created", "fraud.detected"] * 2,
        },
    ),
    "automation": (
        [_click(bot={"type": "selenium", "confidence": 98, "indicators": ["webdriver_present", "missing_plugins"]})],
        {
            "cloakradar": ["click.new", "bot.detected"],
            "cue": ["ad.click"],
            "standard": ["click.created", "bot.detected"],
        },
    ),
    "a VPN, then a proxy": (
        [_click(1, vpn={"provider": "Harbour VPN"}), _click(2, proxy=True)],
        {
            "cloakradar": ["click.new", "vpn.detected"] * 2,
            "cue": ["ad.click"] * 2,
            "standard": ["click.created", "vpn.detected"] * 2,
        },
    ),
    "a competing cloaker": (
        [_click(cloaker={"name": "MaskGate", "indicators": ["redirect_chain"]})],
        {
            "cloakradar": ["click.new", "cloaker.detected"],
            "cue": ["ad.click"],
            "standard": ["click.created", "cloaker.detected"],
        },
    ),
    "a visitor's first visit, and another": (
        [VISIT, {**VISIT, "visit_id": "vst_2", "at": "2026-03-15T09:00:00Z"}],
        {
            "visits": ["NEW_VISIT", "NEW_VISITOR", "NEW_VISIT"],
            "standard": ["visit.created", "visitor.created", "visit.created"],
        },
    ),
    "an impression": (
        [
            {
                **{key: CLICK[key] for key in ("at", "campaign", "partner", "ad", "visitor", "session_id", "context")},
                "kind": "impression",
                "placement": {"type": "inline", "position": "top"},
            }
        ],
        {"cue": ["ad.impression"], "standard": ["impression.created"]},
    ),
    "a conversion": (
        [CONVERSION],
        {
            "cloakradar": ["conversion.new"],
            "trcker": ["conversion.created"],
            "cue": ["ad.conversion"],
            "standard": ["conversion.created"],
        },
    ),
    "a conversion of its click": (
        [
            CLICK,
            {key: CONVERSION[key] for key in ("kind", "at", "conversion_id", "click_id", "payout", "currency")},
        ],
        {
            "cloakradar": ["click.new", "conversion.new"],
            "trcker": ["conversion.created"],
            "cue": ["ad.click", "ad.conversion"],
            "standard": ["click.created", "conversion.created"],
        },
    ),
    "approved by hand, rejected, and a repetition": (
        [
            _offer(default_status="pending"),
            _converted(1),
            _status(1, "approved"),
            _status(1, "approved"),
            _converted(2),
            _status(2, "rejected", reason="Order was returned"),
        ],
        {
            "cloakradar": ["conversion.new"] * 2,
            "trcker": ["conversion.created", "conversion.approved", "conversion.created", "conversion.rejected"],
            "cue": ["ad.conversion"] * 2,
            "standard": ["conversion.created", "conversion.approved", "conversion.created", "conversion.rejected"],
        },
    ),
    "approved by hold time": (
        [_offer(hold_s=3600), CONVERSION],
        {
            "cloakradar": ["conversion.new"],
            "trcker": ["conversion.created", "conversion.approved"],
            "cue": ["ad.conversion"],
            "standard": ["conversion.created", "conversion.approved"],
        },
    ),
    "a partner": (
        [_partner("applied"), _partner("approved"), _partner("approved"), _partner("banned")],
        {profile: ["partner.applied", "partner.approved", "partner.banned"] for profile in ("trcker", "standard")},
    ),
    **{
        f"a {window} cap": ([_offer(caps={window: 2}), *(_converted(number) for number in (1, 2, 3))], _CAPS)
        for window in ("daily", "weekly", "monthly", "global")
    },
    "the total budget": (
        [_campaign("created", budget="100.00", currency="EUR"), _spend("79.99"), _spend("5.01"), _spend("15")],
        {
            "cloakradar": ["alert.budget", "alert.budget", "campaign.paused"],
            "cue": ["campaign.created", "campaign.budget_exhausted", "campaign.paused"],
            "standard": [
                "campaign.created",
                "budget.threshold",
                "budget.threshold",
                "budget.exhausted",
                "campaign.paused",
            ],
        },
    ),
    "the daily budget": (
        [_campaign("created", daily_budget=50.5), _spend("40.40"), _spend("1"), _spend("10")],
        {
            "cloakradar": ["alert.budget"] * 2,
            "cue": ["campaign.created"],
            "standard": ["campaign.created", "budget.threshold", "budget.threshold"],
        },
    ),
    "a campaign's life": (
        [
            _campaign("created", budget=1000, target_audience={"keywords": ["fibre"]}),
            _campaign("updated", budget=1500),
            _campaign("paused"),
            _campaign("paused"),
            _campaign("resumed"),
        ],
        {
            "cue": ["campaign.created", "campaign.updated", "campaign.paused"],
            "standard": ["campaign.created", "campaign.updated", "campaign.paused", "campaign.resumed"],
        },
    ),
    "an alert": (
        [
            ("POST", "/v1/alerts", {"metric": "clicks", "op": ">", "threshold": "1", "window_s": 600}),
            *(_now(_click(number)) for number in (1, 2, 3)),
        ],
        {
            "cloakradar": ["click.new", "click.new", "alert.threshold", "click.new"],
            "cue": ["ad.click"] * 3,
            "standard": ["click.created", "click.created", "alert.threshold", "click.created"],
        },
    ),
    "billing": (
        [
            {
                "kind": "billing",
                "at": AT,
                "data": {"type": "invoice.issued", "amount": "82.10", "n": 3},
            }
        ],
        {"cue": ["account.billing"], "standard": ["billing.updated"]},
    ),
}
CELLS = [(row, profile) for row in ROWS for profile in profiles.names()]

# Fired by a timer, after the call that set it was answered.
_LATER = {"conversion.approved"}

_ID = re.compile(r"\b(evt|wh|acc|alr)_[0-9a-z]{8,}")


# --- one cell -----------------------------------------------------------------------------------------------------


class Cell:
    """A dialect's account and its receiver."""

    def __init__(self, server: Server, receiver: LedgerReceiver, row: str, profile: str, **account: Any) -> None:
        self.profile = profile
        name = "brand-" + re.sub(r"[^a-z]+", "-", f"{row} {profile}".lower())
        self.shop: Shop = server.operator.shop("Brand", profile, external_id=name, **account)
        self._receiver = receiver
        self._path = f"/{name}"
        given = {"secret": "kept-between-us-two"} if profiles.load(profile).may_be_unsigned else {}
        self._secret = self.shop.webhook(receiver.url(self._path), **given).get("secret") or given["secret"]

    def tell(self, steps: Sequence[Any]) -> list[str]:
        """Posts all; the types that the answers say fired."""
        fired: list[str] = []
        for step in steps:
            if isinstance(step, tuple):
                answer = self.shop.call(*step)
                # A dialect without an event for alerts takes none.
                assert answer.status < 300 or answer.code == "alerts_unsupported", answer
            else:
                [result] = self.shop.post("/v1/activity", step)["results"]
                fired += [event["type"] for event in result["events"]]
        return fired

    def summaries(self) -> list[Any]:
        """The bodies of daily summaries, once everything has arrived."""
        until(
            lambda: all(one["status"] == "succeeded" for one in self.shop.deliveries()),
            lambda: f"waiting: {self.shop.deliveries()}",
        )
        ids = {event["id"] for event in self.events() if event["type"] in ("daily_summary", "summary.daily")}
        return [self.shown(one) for one in self._receiver.arrivals(self._path) if one.id in ids]

    def arrivals(self, count: int) -> list[Arrival]:
        """Verified, in the order in which their events were made."""
        found = self._receiver.wait_for(self._path, count)
        until(lambda: len(self.events()) == count, lambda: f"there are {self.events()}")
        for arrival in found:
            verify(arrival.headers, arrival.body, self._secret, profile=self.profile)
        order = [event["id"] for event in self.events()]
        return sorted(found, key=lambda arrival: order.index(arrival.id))

    def events(self) -> list[dict[str, Any]]:
        return list(self.shop.get("/v1/events", limit=250)["data"])[::-1]

    def shown(self, arrival: Arrival) -> Any:
        """The body, but for what differs from run to run."""
        text = _ID.sub(lambda match: f"{match[1]}_…", arrival.body.decode())
        text = re.sub(r'"brand-[^"]*"', '"brand"', text)
        return json.loads(re.sub(r'"20[0-9-]{8}T[0-9:.]{8,12}Z"', _unless_fixed, text))


def _unless_fixed(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith(('"2026-03-', '"2026-04-')) else '"now"'


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[Server, LedgerReceiver]]:
    with tempfile.TemporaryDirectory() as folder, LedgerReceiver() as receiver, Server(Path(folder)) as server:
        yield server, receiver


def _run(places: tuple[Server, LedgerReceiver], row: str, profile: str) -> list[tuple[str, Any]]:
    steps, fires = ROWS[row]
    expected = list(fires.get(profile, ()))
    cell = Cell(*places, row, profile, timezone="Europe/Berlin")
    told = cell.tell(steps)
    assert told == [type_ for type_ in expected if type_ not in _LATER or type_ in told]
    arrivals = cell.arrivals(len(expected))
    types = {event["id"]: event["type"] for event in cell.events()}
    assert [types[arrival.id] for arrival in arrivals] == expected
    return [(types[arrival.id], cell.shown(arrival)) for arrival in arrivals]


@pytest.mark.parametrize(("row", "profile"), CELLS, ids=[f"{row}-{profile}" for row, profile in CELLS])
def test_a_cell(places: tuple[Server, LedgerReceiver], row: str, profile: str):
    """What was posted fires these events and no others, signed, with these bodies, which fit their schemas."""
    found = _run(places, row, profile)
    known = json.loads(BODIES.read_text())
    assert [body for _, body in found] == known.get(f"{row} / {profile}", [])


# --- midnight -----------------------------------------------------------------------------------------------------

# Python imports this module at its start: the server's clock says what it is told, whatever the day is.
_CLOCK = """
import time
from tocsin.clock import SystemClock
_begin = time.time_ns() // 1_000_000
SystemClock.now_ms = lambda self: {at} + time.time_ns() // 1_000_000 - _begin
"""
_EVENING = 1_773_439_200_000  # 2026-03-13T22:00:00Z, in Berlin 23:00
_BEFORE_MIDNIGHT = _EVENING + 3_600_000 - 3_000


def test_midnight(tmp_path: Path, receiver: LedgerReceiver, monkeypatch: pytest.MonkeyPatch):
    """At midnight in the property's time zone the day before is summed up, each visitor at the highest label; a
    property that nobody visited has its zeros; the other dialects get nothing.
    """
    clock = tmp_path / "sitecustomize.py"
    clock.write_text(_CLOCK.format(at=_EVENING))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}")
    told = [(1, 0, []), (2, 45, ["honeypot"]), (2, 75, ["honeypot", "rapid_clicks"]), (3, 55, ["honeypot"]), (3, 0, [])]
    steps = [
        {
            **_click(number, score=score, reasons=reasons),
            "at": "2026-03-13T20:00:00Z",
            "visitor": {**VISITOR, "id": f"vis_{who}", "ip": f"203.0.{number}.24"},
        }
        for number, (who, score, reasons) in enumerate(told)
    ]
    with Server(tmp_path / "server") as server:
        cells = {name: Cell(server, receiver, "midnight", name, timezone="Europe/Berlin") for name in profiles.names()}
        quiet = Cell(server, receiver, "nobody", "clickdefender", timezone="Europe/Berlin")
        elsewhere = Cell(server, receiver, "elsewhere", "clickdefender", timezone="America/New_York")
        for cell in cells.values():
            cell.tell(steps)
        server.stop()
        clock.write_text(_CLOCK.format(at=_BEFORE_MIDNIGHT))
        server.restart()
        [zeros] = quiet.arrivals(1)
        shown = {name: cell.summaries() for name, cell in cells.items()}
        assert elsewhere.events() == []
    assert zeros.json["summary"] == {
        "date": "2026-03-13", "totalVisitors": 0, "cleanCount": 0, "suspiciousCount": 0, "fraudCount": 0,
        "fraudRate": "0.0%", "topRules": [],
    }  # fmt: skip
    assert shown.pop("clickdefender") == [
        {
            "event": "daily_summary",
            "timestamp": "2026-03-13T23:00:00Z",
            "property": {"id": "brand", "name": "Brand"},
            "summary": {
                "date": "2026-03-13", "totalVisitors": 3, "cleanCount": 1, "suspiciousCount": 1, "fraudCount": 1,
                "fraudRate": "33.3%",
                "topRules": [{"rule": "honeypot", "count": 2}, {"rule": "rapid_clicks", "count": 1}],
            },
        }
    ]  # fmt: skip
    assert shown.pop("standard") == [
        {
            "type": "summary.daily",
            "timestamp": "2026-03-13T23:00:00Z",
            "data": {
                "date": "2026-03-13", "timezone": "Europe/Berlin", "fraud_rate": 33.3,
                "visitors": {"total": 3, "clean": 1, "suspicious": 1, "fraud": 1},
                "top_rules": [{"rule": "honeypot", "count": 2}, {"rule": "rapid_clicks", "count": 1}],
            },
        }
    ]  # fmt: skip
    assert not any(shown.values())


def _write() -> None:
    written: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder, LedgerReceiver() as receiver, Server(Path(folder)) as server:
        for row, profile in CELLS:
            if bodies := [body for _, body in _run((server, receiver), row, profile)]:
                written[f"{row} / {profile}"] = bodies
    BODIES.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _write()
    sys.exit()
