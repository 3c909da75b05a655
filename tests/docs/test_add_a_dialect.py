"""A seventh dialect, made of nothing but the files on the page: every event type, verified by our tools and without."""

import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal
from tests.docs.markdown import Block, page, table
from tests.support.api import Shop
from tests.support.messages import as_text, example
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tocsin.profiles import facts, loader, messages, secret_forms, signatures
from tocsin.profiles.details import Kind
from tocsin.profiles.signatures import _SCHEMES
from tocsin.triggers.forms import FORMS
from tocsin.triggers.occurrences import NAMES

PAGE = page("docs/how-to/add-a-dialect.md")
SECRET = "kept-between-us-two"


def _files() -> dict[str, Block]:
    return {block.words["title"]: block for block in PAGE.blocks if "title" in block.words}


@pytest.fixture
def dialects(tmp_path: Path) -> Path:
    """The folder, as the page makes it."""
    for title, block in _files().items():
        if title.startswith("dialects/"):
            file = tmp_path / title
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text)
    return tmp_path / "dialects"


def _digest(arrival: Arrival) -> str:
    """As Umbra's document has it, by the standard library alone."""
    return "hmac-sha256=" + hmac.new(SECRET.encode(), arrival.body, hashlib.sha256).hexdigest()


def test_activity_fires_what_the_page_says(
    dialects: Path, receiver: LedgerReceiver, start_server: Callable[..., Server]
) -> None:
    """An impression and a cap, posted as activity, arrive in the dialect's own words; a cap that the page leaves out
    does not.
    """
    shop = _shop(start_server(profiles=dialects))
    shop.webhook(receiver.url("/fired"), secret=SECRET)
    shop.ok("PUT", "/v1/offers/o", {"name": "O", "caps": {"daily": 1, "weekly": 1}})
    seen = {"visitor": {"id": 7, "country": "nl"}, "ad": {"id": "7714"}, "placement": {"slot": "sidebar"}}
    sold = {"conversion_id": "c", "payout": "1", "currency": "EUR", "offer": {"id": "o"}, "ad": {"id": 7714}}
    shop.post("/v1/activity", {"activities": [{"kind": "impression", **seen}, {"kind": "conversion", **sold}]})
    found = {one.json["kind"]: one.json["payload"] for one in receiver.wait_for("/fired", 2)}
    assert found == {
        "ad.served": {"ad": {"id": 7714, "slot": "sidebar"}, "viewer": {"id": "7", "country": "NL"}},
        "ad.capped": {"ad": {"id": 7714}, "shown": 1},
    }


def test_the_page_names_all_that_triggers_can_say() -> None:
    """Every form and every occurrence, and none that there is not."""
    assert {row[0].strip("`") for row in table(PAGE.text[PAGE.text.index("| form | it gives") :])} == FORMS.keys()
    assert all(f"`{name}`" in PAGE.text for name in NAMES)


def test_its_messages_say_what_the_page_does(dialects: Path) -> None:
    """The page's own wording, icon by tone, a detail of its own, and a text around one."""
    umbra = loader.read_profile(dialects / "umbra")
    assert as_text(example(umbra, "ad.served", "slack")) == (
        "🔔 Ad Served\nAd ID: 7714\nSlot: Sidebar\nCountry: Netherlands\nVisitor ID: vw_5e1c"
    )
    assert as_text(example(umbra, "ad.capped", "telegram")) == ("🧢 Ad Capped\n🖼️ Ad ID: 7714\n🔢 Shown: 250,000 times")


def test_the_page_names_all_that_messages_can_say() -> None:
    """Every kind of value, every key of a place, a line and an event type."""
    section = PAGE.section("What messages can say")
    kinds = {name.strip("` ") for row in table(section[section.index("| `kind` |") :]) for name in row[0].split(",")}
    assert kinds == {kind.value for kind in Kind}
    for spec in (messages.PlaceSpec, messages.LineSpec, messages.EventSpec):
        for name in spec.__struct_fields__:
            assert f"`{name}`" in section or f".{name}." in section, f"{name} is not told"


def _shop(server: Server) -> Shop:
    return server.operator.shop("Umbra North", "umbra", external_id="north")


def test_every_event_type_arrives_and_verifies(
    dialects: Path, receiver: LedgerReceiver, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Body, headers and digest are what the vendor's document says, in an independent reading of it; a changed byte
    does not verify, and `tocsin verify` agrees.
    """
    server = start_server(profiles=dialects)
    shop = _shop(server)
    hook = shop.webhook(receiver.url("/umbra"), secret=SECRET)
    for type_ in ("ad.capped", "ad.served"):
        event = shop.publish(type_)
        shop.wait_delivery(event["id"], hook["id"], "succeeded")
        arrival = receiver.arrivals("/umbra")[-1]
        body = json.loads(arrival.body)
        assert list(body) == ["uid", "kind", "sent", "network", "payload"]
        assert (body["uid"], body["kind"], body["network"]) == (event["id"], type_, {"id": "north"})
        assert body["sent"] == event["timestamp"]
        assert body["payload"] == shop.example(type_)
        assert arrival.headers["x-umbra-kind"] == type_
        assert arrival.headers["x-umbra-digest"] == _digest(arrival)
        assert arrival.headers["webhook-id"] == event["id"]
        terminal = Terminal(tmp_path, profiles=str(dialects))
        given = [f"--header={name}: {value}" for name, value in arrival.headers.items()]
        assert "(umbra)" in terminal.ok("verify", "-", "--secret", SECRET, *given, stdin=arrival.body).out
        assert terminal("verify", "-", "--secret", SECRET, *given, stdin=arrival.body + b" ").code == 6


def test_its_schema_limits_and_schedule_hold(
    dialects: Path, receiver: LedgerReceiver, start_server: Callable[..., Server]
) -> None:
    """Data against the schema is refused with a pointer, a fourth webhook too; four attempts, then the webhook has
    failed, as the page's profile says.
    """
    server = start_server(profiles=dialects, retry_scale=0.0001)
    shop = _shop(server)
    refused = shop.call("POST", "/v1/events", {"type": "ad.capped", "data": {"ad": {"id": "x"}, "shown": 1}})
    assert (refused.code, refused.json["errors"][0]["pointer"]) == ("data_invalid", "/data/ad/id")
    receiver.script("/dead", Answer(500))
    hooks = [shop.webhook(receiver.url("/dead"), ["ad.capped"], secret=SECRET)]
    hooks += [shop.webhook(receiver.url("/alive"), ["ad.served"]) for _ in range(2)]
    refused = shop.call("POST", "/v1/webhooks", {"url": receiver.url("/alive"), "events": ["*"]})
    assert (refused.status, refused.code) == (409, "webhook_limit")
    event = shop.publish("ad.capped")
    ended = shop.wait_delivery(event["id"], hooks[0]["id"], "failed")
    assert ended["attempt_count"] == 4
    assert shop.status(hooks[0]["id"])["status"] == "failed"
    assert {arrival.headers["x-umbra-digest"] for arrival in receiver.arrivals("/dead")} == {
        _digest(receiver.arrivals("/dead")[0])
    }


# --- the tables ---------------------------------------------------------------------------------------------------


def _column(heading_row: str) -> set[str]:
    """The first cells of the table whose head begins so, without their backticks."""
    text = PAGE.prose[PAGE.prose.index(f"| {heading_row} |") :]
    return {name.strip("` ") for row in table(text) for name in row[0].split(",")}


def test_the_tables_list_all_there_is() -> None:
    """Every key of a profile, every fact that a body or header can hold, every scheme; and no other."""
    assert _column("key") == set(loader._ProfileSpec.__struct_fields__)
    assert _column("`from`") == {*facts.TEXTS, "data"}
    assert _column("`scheme`") == {*_SCHEMES, "standard-webhooks"}
    for spec in (loader._LimitsSpec, loader._DisableSpec, signatures.SignatureSpec, secret_forms.SecretSpec):
        for name in spec.__struct_fields__:
            assert name in PAGE.prose, f"{name} is not told"
