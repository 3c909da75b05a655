"""Accounts, keys, webhooks, events and deliveries through the command line, against a real server."""

import pytest
from standardwebhooks import Webhook

from tests.cli.conftest import Terminal
from tests.support.api import CLICK, Shop
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until


def test_an_accounts_life(operator: Terminal) -> None:
    """An account is made with a key that works, shown, listed, and removed only when that is meant."""
    made = operator.json("accounts", "create", "Rocket Shoes", "--timezone", "Europe/Berlin", "--external-id", "r-1")
    assert made["timezone"] == "Europe/Berlin"
    assert operator.json("webhooks", "list", key=made["key"]) == []
    assert operator.json("accounts", "show", made["id"])["external_id"] == "r-1"
    assert made["id"] in [one["id"] for one in operator.json("accounts", "list")]
    assert "Rocket Shoes" in operator.ok("accounts", "list").out
    assert operator("accounts", "delete", made["id"]).code == 2
    operator.ok("accounts", "delete", made["id"], "--yes")
    assert operator("accounts", "show", made["id"]).code == 4


def test_secrets_go_to_stdout_and_warnings_to_stderr(operator: Terminal) -> None:
    """What must be kept is data; that it is shown once is said beside it."""
    made = operator.ok("accounts", "create", "Shown once")
    assert "tsn_" in made.out
    assert "tsn_" not in made.err
    assert "shown this once" in made.err


def test_a_keys_life(owner: Terminal) -> None:
    """A key is made with scopes, works within them, is listed without its text, and revoked."""
    made = owner.json("keys", "create", "checkout", "--scope", "publish")
    assert made["scopes"] == ["publish"]
    assert owner("webhooks", "list", key=made["key"]).code == 3
    listed = owner.ok("keys", "list").out
    assert "checkout" in listed
    assert made["key"] not in listed
    owner.ok("keys", "revoke", made["id"])
    assert owner("send", CLICK, "--example", key=made["key"]).code == 3


def test_a_postback_tokens_life(owner: Terminal) -> None:
    """A token is made with the address to give away, is listed without its text, and revoked."""
    made = owner.json("postback-tokens", "create", "Fibre network")
    assert f"/in/{made['token']}/postback?click_id={{click_id}}&" in made["address"]
    listed = owner.ok("postback-tokens", "list").out
    assert "Fibre network" in listed
    assert made["token"] not in listed
    owner.ok("postback-tokens", "revoke", made["id"])
    assert owner.json("postback-tokens", "list")[0]["revoked_at"] is not None


def test_refusals(owner: Terminal, operator: Terminal, terminal: Terminal, server: Server) -> None:
    """Without a key or with a wrong one: 3. An unknown id: 4. Values at fault: 5, each with its pointer."""
    none = terminal("events", "list", url=server.url)
    assert none.code == 3
    assert "TOCSIN_KEY" in none.err
    assert owner("events", "list", key="tsn_wrong").code == 3
    assert owner("accounts", "list").code == 3
    assert owner("webhooks", "show", "wh_0000000000000").code == 4
    assert owner("webhooks", "show", "../accounts").code == 4
    refused = owner("webhooks", "create", "http://10.0.0.1/", "--event", "no.such.type")
    assert refused.code == 5
    assert refused.out == ""
    assert "/" in refused.err
    assert "request " in refused.err
    assert "--account" in operator("webhooks", "list").err
    invalid = owner("events", "list", "--since", "yesterday")
    assert invalid.code == 5
    assert "since" in invalid.err


def test_a_webhooks_life(owner: Terminal, receiver: LedgerReceiver) -> None:
    """A webhook is made, changed, muted, disabled, enabled, rotated, previewed and deleted."""
    made = owner.json(
        "webhooks", "create", receiver.url("/life"), "--event", "click.*", "--event", CLICK, "--name", "life",
        "--header", "X-Token: t0ken", "--rate-limit", 50, "--filter", 'data.x == 1 || event.type == "click.created"',
    )  # fmt: skip
    id_ = made["id"]
    assert made["secret"].startswith("whsec_")
    assert (made["events"], made["rate_limit"]) == (["click.*", CLICK], 50)
    assert made["headers"] == {"X-Token": "***"}
    shown = owner.ok("webhooks", "show", id_).out
    assert "life" in shown
    assert "t0ken" not in shown
    changed = owner.json(
        "webhooks", "change", id_, "--event", "*", "--clear", "filter", "--remove-header", "X-Token",
        "--header", "X-A: b",
    )  # fmt: skip
    assert (changed["events"], changed["filter"], changed["headers"]) == (["*"], None, {"X-A": "***"})
    assert owner("webhooks", "change", id_).code == 2
    assert owner("webhooks", "change", id_, "--filter", "true", "--clear", "filter").code == 2
    assert owner.json("webhooks", "mute", id_, 2)["muted_until"]
    assert "muted" in owner.ok("webhooks", "list").out
    assert owner.json("webhooks", "mute", id_, 0)["muted_until"] is None
    assert owner.json("webhooks", "disable", id_, "--reason", "holidays")["status_reason"] == "holidays"
    assert owner.json("webhooks", "enable", id_, "--held", "drop")["status"] == "active"
    rotated = owner.json("webhooks", "rotate-secret", id_, "--overlap-s", 60)
    assert rotated["secret"] != made["secret"]
    assert rotated["secret_overlap_until"]
    assert owner.json("webhooks", "rotate-secret", id_, "--activate")["secret_overlap_until"] is None
    preview = owner.json("webhooks", "preview", id_, "--type", CLICK)
    assert Webhook(rotated["secret"]).verify(preview["body"], preview["headers"])["type"] == CLICK
    assert "POST http://127.0.0.1" in owner.ok("webhooks", "preview", id_).out
    owner.ok("webhooks", "delete", id_)
    assert owner("webhooks", "show", id_).code == 4


def test_a_preview_in_all_chats(owner: Terminal, receiver: LedgerReceiver) -> None:
    """``webhooks preview --chats`` shows the message as each chat's readers would see it, without any markup."""
    hook = owner.json("webhooks", "create", receiver.url("/seen"))["id"]
    shown = owner.ok("webhooks", "preview", hook, "--type", "conversion.created", "--chats").out
    parts = {part.splitlines()[0]: part for part in shown.strip("\n").split("\n\n") if part[0] != " "}
    assert {"slack", "telegram", "discord", "email"} <= parts.keys()
    assert "┃ 🎉 New Conversion!" in parts["slack"]
    assert "  🎉 New Conversion!" in parts["telegram"]
    assert "┃ Payout\n  ┃ €45.00" in parts["discord"]
    assert "  Subject: New Conversion" in parts["email"]
    assert shown.count("Mobile (iOS)") == 4
    assert not any(sign in shown for sign in ("<b>", "{", "=E2", "*Payout"))


def test_testing_a_webhook(owner: Terminal, receiver: LedgerReceiver) -> None:
    """``webhooks test`` shows the attempt as it went: exit code 0 where it was taken, 6 where not."""
    hook = owner.json("webhooks", "create", receiver.url("/tested"))
    receiver.trust("/tested", hook["secret"])
    assert owner.json("webhooks", "test", hook["id"], "--type", CLICK)["outcome"] == "succeeded"
    [arrival] = receiver.arrivals("/tested")
    assert arrival.verified
    assert arrival.headers["tocsin-test"] == "true"
    receiver.script("/tested", Answer(503, {"X-Why": "tired"}, b'{"error":"asleep"}'))
    ran = owner("webhooks", "test", hook["id"])
    assert ran.code == 6
    assert all(part in ran.out for part in ("http_error (503)", "tired", "asleep", "webhook-signature: v1,"))


def test_why_an_event_went_where_it_went(owner: Terminal, shop: Shop, receiver: LedgerReceiver) -> None:
    """``events show`` tells for each webhook whether it got the event, and why."""
    taken = shop.webhook(receiver.url("/taken"), [CLICK])["id"]
    other = shop.webhook(receiver.url("/other"), ["visit.*"])["id"]
    filtered = shop.webhook(receiver.url("/filtered"), ["*"], filter="false")["id"]
    event = shop.publish(external_id="why-1")["id"]
    routing = {one["webhook_id"]: one for one in owner.json("events", "show", event)["routing"]}
    assert [routing[id_]["matched"] for id_ in (taken, other, filtered)] == [True, False, False]
    shown = owner.ok("events", "show", event).out
    assert "visit.*" in shown
    assert "its filter is false" in shown
    assert [one["id"] for one in owner.json("events", "list", "--external-id", "why-1")] == [event]
    assert owner.json("events", "list", "--type", "visit.created") == []


def test_a_failed_delivery_is_explained(owner: Terminal, shop: Shop, receiver: LedgerReceiver) -> None:
    """``deliveries show`` gives request, answer, error and next attempt; ``retry`` tries again and tells the truth."""
    receiver.script("/failing", Answer(500, body=b"database is down\x1b[31m"))
    hook = shop.webhook(receiver.url("/failing"))["id"]
    event = shop.publish()["id"]
    receiver.wait_for("/failing", 1)
    shop.wait_delivery(event, hook, "retrying")
    [listed] = owner.json("deliveries", "list", "--webhook", hook, "--status", "retrying", "--code", 500)
    shown = owner.ok("deliveries", "show", listed["id"]).out
    for part in ("retrying", "http_error (500)", "database is down", "(in ", "> POST http://127.0.0.1", "webhook-id"):
        assert part in shown, part
    assert "\x1b[31m" not in shown
    assert "database is down" not in owner.ok("deliveries", "show", listed["id"], "--brief").out
    assert "retrying" in owner.ok("deliveries", "list").out
    assert [one["id"] for one in owner.json("deliveries", "list", "--channel", "webhook")] == [listed["id"]]
    assert owner.json("deliveries", "list", "--channel", "postback") == []
    assert "did you mean 'postback'" in owner("deliveries", "list", "--channel", "postbak").err
    assert owner("deliveries", "retry", listed["id"]).code == 6
    receiver.script("/failing", Answer())
    assert owner.json("deliveries", "retry", listed["id"])["trigger"] == "manual"
    assert owner.json("deliveries", "show", listed["id"])["status"] == "succeeded"
    assert owner("deliveries", "cancel", listed["id"]).code == 5


def test_cancelling_a_delivery(owner: Terminal, shop: Shop, receiver: LedgerReceiver) -> None:
    """A delivery that waits is ended by ``cancel``."""
    receiver.script("/cancelled", Answer(500))
    hook = shop.webhook(receiver.url("/cancelled"))["id"]
    waiting = shop.wait_delivery(shop.publish()["id"], hook, "retrying")["id"]
    assert owner.json("deliveries", "cancel", waiting)["status"] == "cancelled"


def test_lists_go_on_over_pages(owner: Terminal, shop: Shop) -> None:
    """``--limit`` beyond one page of the API is fetched page by page, without gaps."""
    accepted = [one["id"] for one in shop.publish_batch([shop.event(n=n) for n in range(300)])]
    listed = [one["id"] for one in owner.json("events", "list", "--limit", 280)]
    assert listed == sorted(accepted, reverse=True)[:280]


def test_the_operator_acts_for_an_account(operator: Terminal, shop: Shop) -> None:
    """With ``--account`` the operator's key sees what the account's key sees."""
    event = shop.publish()["id"]
    assert [one["id"] for one in operator.json("events", "list", "--account", shop.id)] == [event]


@pytest.mark.parametrize(
    "group", [("accounts",), ("keys",), ("webhooks",), ("events",), ("deliveries",)], ids=lambda words: words[0]
)
def test_empty_lists_are_json_too(operator: Terminal, owner: Terminal, group: tuple[str, ...]) -> None:
    """Every list prints a JSON array, also where it is empty."""
    who = operator if group == ("accounts",) else owner
    assert isinstance(who.json(*group, "list"), list)


def test_a_visitor_is_erased_when_that_is_meant(owner: Terminal, shop: Shop) -> None:
    """Erasing prints how much it was, and does nothing until it is confirmed."""
    event = shop.publish(visitor={"id": "who/asked"})
    assert owner("visitors", "erase", "who/asked").code == 2
    assert shop.get(f"/v1/events/{event['id']}")["data"] is not None
    assert owner.json("visitors", "erase", "who/asked", "--yes")["events"] == 1
    assert shop.get(f"/v1/events/{event['id']}")["data"] is None
    assert "events" in owner.ok("visitors", "erase", "who/asked", "--yes").out


def test_an_alerts_life(owner: Terminal) -> None:
    """An alert is asked about, made with words for its comparison, listed, shown and removed."""
    asked = owner.ok("alerts", "backtest", "clicks", "at-least", "5", "--days", "1")
    assert "would have fired 0 times" in asked.out
    made = owner.json("alerts", "create", "fraud_rate", "above", "2.5", "--window", "600", "--campaign", "7")
    assert (made["op"], made["threshold"], made["window_s"], made["campaign"]) == (">", "2.5", 600, "7")
    assert "fraud_rate > 2.5" in owner.ok("alerts", "list").out
    assert owner.json("alerts", "show", made["id"])["armed"] is True
    assert owner("alerts", "create", "likes", "above", "1").code == 2
    assert owner("alerts", "create", "clicks", "above", "many").code == 5
    owner.ok("alerts", "delete", made["id"])
    assert owner("alerts", "show", made["id"]).code == 4


def test_what_a_webhook_would_have_been_sent(owner: Terminal) -> None:
    """A backtest counts the events that are kept by day and type, and says what the filter could not judge."""
    owner.ok("send", CLICK, "--example")
    found = owner.ok("webhooks", "backtest", "--event", CLICK)
    assert CLICK in found.out
    failing = owner.ok("webhooks", "backtest", "--event", CLICK, "--filter", "data.nothing > 1")
    assert failing.out.splitlines()[-1].startswith("0 of ")
    assert "the filter cannot judge" in failing.err
    assert owner("webhooks", "backtest").code == 5


def test_offers_campaigns_and_partners_are_set_shown_and_listed(owner: Terminal) -> None:
    """Each by its own id, slashes and all; with where its caps and budgets stand."""
    made = owner.json("offers", "set", "o/1", "--name", "Shoes", "--payout", "4.50", "--daily", 9, "--in-all", 99)
    assert (made["payout"], made["caps"]["daily"], made["caps"]["global"]) == ("4.50", 9, 99)
    shown = owner.ok("offers", "get", "o/1").out
    assert "0 of 9" in shown
    assert "0 of 99" in owner.ok("offers", "list").out
    campaign = ("campaigns", "set", "k", "--name", "Spring", "--budget", "10", "--alert-percent", 50)
    assert owner.json(*campaign)["alert_percents"] == [50]
    assert "0 of 10" in owner.ok("campaigns", "get", "k").out
    assert "Spring" in owner.ok("campaigns", "list").out
    assert owner.json("partners", "set", "p", "--name", "Clickwell", "--status", "approved")["status"] == "approved"
    assert "Clickwell" in owner.ok("partners", "get", "p").out
    assert [one["id"] for one in owner.json("partners", "list")] == ["p"]
    assert owner("offers", "set", "o", "--name", "x", "--payout", "many").code == 5
    assert owner("campaigns", "get", "nobody").code == 4


def test_a_retry_waits_for_the_attempt_under_way(owner: Terminal, shop: Shop, receiver: LedgerReceiver) -> None:
    """Asked for while an attempt is under way, a retry shows how that one went, and sends nothing a second time."""
    receiver.script("/slow", Answer(after_s=2.5))
    hook = shop.webhook(receiver.url("/slow"))
    event = shop.publish()
    until(lambda: receiver.in_flight("/slow") == 1, "the first attempt")
    delivery = shop.delivery_of(event["id"], hook["id"])
    ran = owner.ok("deliveries", "retry", delivery["id"])
    assert "under way has succeeded" in ran.err
    assert len(receiver.arrivals("/slow")) == 1
