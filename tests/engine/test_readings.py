"""What a chat's answer comes to: for its delivery, for its webhook, for those that share its pace, and in the log."""

from typing import Any

import msgspec
import pytest

from tocsin.channels import CHATS
from tocsin.channels.chat import Gone, Moved, Rejected, Retry, Sent, Stopped, Throttled
from tocsin.clock import Millis
from tocsin.engine import policy
from tocsin.engine.announcements import announcement
from tocsin.engine.directory import AccountView, seal_secrets
from tocsin.engine.readings import heed, understand
from tocsin.engine.rendering import ChatTarget, Target, target
from tocsin.ids import IdSource
from tocsin.model import (
    NOTICE_TYPE,
    Account,
    DeliveryState,
    Outcome,
    OutcomeKind,
    Request,
    Webhook,
    WebhookSecrets,
    WebhookSettings,
    WebhookState,
)
from tocsin.profiles import load
from tocsin.security.vault import Vault
from tocsin.store.port import Snapshot
from tocsin.telemetry import Metrics

NOW = Millis(1_767_225_600_000)
VAULT = Vault(bytes(32))
TOKEN = "110200300:AA_a_token_that_nobody_may_ever_see_9"
ADDRESS = f"https://api.telegram.org/bot{TOKEN}/sendMessage?chat_id=-4000000001"
ACCOUNT = Account(
    id=7,
    name="Shop",
    profile="standard",
    timezone="UTC",
    external_id=None,
    notify_email=None,
    settings={},
    config_version=3,
    created_at=NOW,
    updated_at=NOW,
)
REQUEST = Request(method="POST", url=ADDRESS, headers=(), body=b"{}", timeout_s=10)
REFUSED = Outcome(kind=OutcomeKind.HTTP_ERROR, status_code=400, error="the receiver answered 400")
STANDARD = load("standard")
CLOAKRADAR = load("cloakradar")


def webhook(id_: int = 1, channel: str = "telegram", url: str = ADDRESS, **changes: Any) -> Webhook:
    shown = CHATS[channel].parse(url).shown if channel in CHATS else url
    made = Webhook(
        id=id_,
        account_id=ACCOUNT.id,
        version=1,
        from_config=1,
        state=WebhookState.ACTIVE,
        status_reason=None,
        status_since=NOW,
        muted_until=None,
        settings=WebhookSettings(url_shown=shown, events=("*",), name=f"number {id_}", channel=channel),
        sealed=seal_secrets(VAULT, ACCOUNT.id, id_, WebhookSecrets(url=url)),
        created_at=NOW,
        updated_at=NOW,
    )
    return msgspec.structs.replace(made, **changes)


def chat(id_: int = 1, number: int = 1, token: str = TOKEN, **changes: Any) -> Webhook:
    return webhook(id_, url=f"https://api.telegram.org/bot{token}/sendMessage?chat_id={number}", **changes)


def a_target(**changes: Any) -> Target:
    made = target(ACCOUNT, STANDARD, webhook(), WebhookSecrets(url=ADDRESS))
    return msgspec.structs.replace(made, **changes)


def decide(reading, *, profile=STANDARD, outcome=REFUSED, tries=1, free=0):
    return policy.decide_read(
        profile,
        reading,
        outcome,
        tries=tries,
        free=free,
        held_until=Millis(NOW + 30_000),
        ended_at=NOW,
        scale=1.0,
        luck=0.0,
    )


LAST = len(STANDARD.schedule_s) + 1


# --- the delivery -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tries", [1, LAST])
def test_what_is_there_has_succeeded(tries):
    """Whatever the status: a message that is there already counts as sent."""
    assert decide(Sent(message="7"), tries=tries) == policy.Verdict(DeliveryState.SUCCEEDED)


@pytest.mark.parametrize("tries", [1, LAST])
def test_a_message_that_is_never_taken_fails_at_once(tries):
    """It is not tried again, and it is not the webhook's fault."""
    assert decide(Rejected(reason="too long"), tries=tries) == policy.Verdict(DeliveryState.FAILED)


@pytest.mark.parametrize("tries", [1, LAST])
def test_throttling_costs_no_retry(tries):
    """The delivery waits for as long as the service said, also after its last retry."""
    verdict = decide(Throttled(wait_s=30, keys=(), reason="slower"), tries=tries)
    assert verdict == policy.Verdict(DeliveryState.RETRYING, Millis(NOW + 30_000), counts=False)


@pytest.mark.parametrize("tries", [1, LAST])
def test_the_delivery_that_meets_the_end_waits(tries):
    """A chat that is gone fails no delivery: they are held with their webhook, and nothing is used up."""
    verdict = decide(Stopped(reason="the bot was blocked"), tries=tries)
    assert verdict == policy.Verdict(DeliveryState.RETRYING, NOW, counts=False)


@pytest.mark.parametrize("reading", [Moved(url=ADDRESS, reason="moved"), Gone()])
def test_what_moved_or_is_gone_is_sent_again_at_once_but_not_for_ever(reading):
    """A few times at once; chats that send each other to and fro come under the schedule, and to an end."""
    for free in range(policy.AT_ONCE):
        assert decide(reading, free=free) == policy.Verdict(DeliveryState.RETRYING, NOW, counts=False)
    by_schedule = decide(reading, free=policy.AT_ONCE)
    assert by_schedule == policy.Verdict(DeliveryState.RETRYING, Millis(NOW + 5_000), counts=True)
    assert decide(reading, free=policy.AT_ONCE, tries=LAST).state is DeliveryState.FAILED


@pytest.mark.parametrize("reading", [Retry(reason="a fault of its own"), None])
def test_everything_else_follows_the_schedule(reading):
    """A fault of the service's, or no answer at all: as with any other webhook."""
    assert decide(reading) == policy.Verdict(DeliveryState.RETRYING, Millis(NOW + 5_000))
    assert decide(reading, tries=LAST).state is DeliveryState.FAILED


# --- the webhook --------------------------------------------------------------------------------------------------


def diagnose(reading, verdict, profile=STANDARD, outcome=REFUSED):
    return policy.diagnose(
        profile.disable, outcome, verdict, failing_since=NOW, warned_at=None, now=NOW, reading=reading
    )


@pytest.mark.parametrize("profile", [STANDARD, CLOAKRADAR, load("trcker")])
def test_a_chat_that_is_gone_disables_its_webhook_in_every_profile(profile):
    """At once, with the reason in the service's own words, also where the profile never disables anything."""
    reading = Stopped(reason="the bot was blocked by the user")
    found = diagnose(reading, decide(reading, profile=profile), profile)
    assert (found.health, found.reason, found.cause) == (policy.Health.DISABLE, reading.reason, "stopped")


def test_a_rejected_message_gives_no_webhook_up():
    """In the dialect that gives a webhook up with a failed delivery, one message that is not taken is not enough."""
    reading = Rejected(reason="too long")
    assert diagnose(reading, decide(reading, profile=CLOAKRADAR), CLOAKRADAR).health is policy.Health.WELL
    spent = policy.Verdict(DeliveryState.FAILED)
    assert diagnose(Retry(reason="down"), spent, CLOAKRADAR).health is policy.Health.FAIL


# --- the log ------------------------------------------------------------------------------------------------------


class Says:
    """A chat that reads every answer as it is told to."""

    name = "says"
    edits = True

    def __init__(self, reading: Any) -> None:
        self.reading = reading

    def read(self, *_: Any) -> Any:
        if isinstance(self.reading, Exception):
            raise self.reading
        return self.reading


def that_says(reading: Any) -> Target:
    made = a_target()
    assert made.chat is not None
    return msgspec.structs.replace(made, chat=msgspec.structs.replace(made.chat, channel=Says(reading)))


@pytest.mark.parametrize(
    "reading",
    [
        Retry(reason="it has a fault of its own"),
        Rejected(reason="it did not take the message"),
        Stopped(reason="the bot was blocked"),
        Throttled(wait_s=1, keys=(), reason="too fast"),
        Moved(url=ADDRESS, reason="a supergroup now"),
    ],
)
@pytest.mark.parametrize("kind", [OutcomeKind.SUCCEEDED, OutcomeKind.HTTP_ERROR, OutcomeKind.REDIRECTED])
def test_the_log_has_the_reason_and_no_false_success(reading, kind):
    """A 200 that says no is no success, and the attempt's error is what the channel read."""
    outcome, read = understand(that_says(reading), REQUEST, Outcome(kind=kind, status_code=200, error="by its status"))
    assert read == reading
    assert not outcome.ok
    assert outcome.error == reading.reason


def test_what_is_there_already_is_a_success_in_the_log():
    """An edit that changes nothing is answered 400, and is what was wanted."""
    outcome, _ = understand(that_says(Sent(message="7")), REQUEST, REFUSED)
    assert (outcome.kind, outcome.status_code, outcome.error) == (OutcomeKind.SUCCEEDED, 400, None)


@pytest.mark.parametrize(
    "kind",
    sorted(set(OutcomeKind) - {"succeeded", "redirected", "http_error", "mail_error"}),
)
def test_what_was_never_answered_is_not_read(kind):
    """A name that does not resolve, a timeout, a refused address say nothing of the chat."""
    outcome = Outcome(kind=kind, error="as it went")
    assert understand(that_says(Stopped(reason="no")), REQUEST, outcome) == (outcome, None)


def test_an_answer_that_cannot_be_read_counts_by_its_status(caplog):
    """A defect in reading is logged and ends nothing: the schedule decides."""
    outcome, reading = understand(that_says(ZeroDivisionError()), REQUEST, REFUSED)
    assert (outcome, reading) == (REFUSED, None)
    assert [record.message for record in caplog.records] == ["reading_failed"]


def test_standard_webhooks_are_not_read():
    """What a receiver of signed JSON says is kept, but means nothing."""
    plain = target(ACCOUNT, STANDARD, webhook(channel="standard", url="https://example.com"), WebhookSecrets(url="x"))
    assert understand(plain, REQUEST, REFUSED) == (REFUSED, None)
    assert heed(plain, None, Holding(), Metrics(), NOW) == NOW


@pytest.mark.parametrize("spelling", [TOKEN, TOKEN.replace(":", "%3A")])
def test_credentials_that_are_repeated_are_taken_out_of_the_log(spelling):
    """Many a server answers with the path that it does not know; the log keeps the rest."""
    said = Outcome(
        kind=OutcomeKind.HTTP_ERROR,
        status_code=418,
        headers=(("Location", f"/login?next=/bot{spelling}/sendMessage"), ("Server", "any")),
        body=f"Cannot POST /bot{spelling}/sendMessage \u00e9\ud83d\ude00".encode("utf-8", "surrogatepass")
        + b"\xff\x00",
        error=f"no such thing as /bot{spelling}/",
    )
    kept, _ = understand(a_target(), REQUEST, said)
    assert spelling not in repr(kept)
    assert kept.body == said.body.replace(spelling.encode(), b"***")
    assert kept.headers == (("Location", "/login?next=/bot***/sendMessage"), ("Server", "any"))


# --- pauses -------------------------------------------------------------------------------------------------------


class Holding:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    def hold_paces(self, keys, wait_s, now, *, refused):
        self.asked.append((tuple(keys), wait_s, refused))
        return Millis(now + round(wait_s * 1000))


def test_pauses_are_for_all_that_share_the_pace():
    """Those of the keys that the service named; where it named none, all of the address."""
    to, pacer, metrics = a_target(), Holding(), Metrics()
    assert to.chat is not None
    all_keys = tuple(rule.key for rule in to.chat.address.paces)
    assert heed(to, Throttled(wait_s=7, keys=("one",), reason="slower"), pacer, metrics, NOW) == NOW + 7_000
    heed(to, Throttled(wait_s=7, keys=(), reason="slower"), pacer, metrics, NOW)
    heed(to, Sent(hold_s=0.5), pacer, metrics, NOW)
    heed(to, Sent(), pacer, metrics, NOW)
    heed(to, Retry(reason="down"), pacer, metrics, NOW)
    assert pacer.asked == [(("one",), 7, True), (all_keys, 7, True), (all_keys, 0.5, False)]
    assert metrics.throttled == {"telegram": 2}


def test_no_key_of_a_pace_holds_a_credential():
    """Keys stand in memory dumps and may stand in logs one day."""
    assert isinstance(a_target().chat, ChatTarget)
    for rule in a_target().chat.address.paces:
        assert TOKEN not in rule.key
        assert TOKEN.partition(":")[2] not in rule.key


# --- who is told --------------------------------------------------------------------------------------------------


def told(stopped: Webhook, *others: Webhook):
    view = AccountView(Snapshot(account=ACCOUNT, event_types=(), webhooks=(stopped, *others)), VAULT, None)
    return announcement(view, stopped, WebhookState.DISABLED, "the bot was blocked", NOW, IdSource(_Clock()))


class _Clock:
    def now_ms(self) -> Millis:
        return NOW

    def monotonic_s(self) -> float:
        return 0.0


def test_another_chat_of_the_account_is_told():
    """What was stopped, where, why: one delivery to the first that can be told, none to signed webhooks."""
    standard = webhook(2, "standard", "https://example.com/in")
    event = told(chat(1), standard, chat(4, 4, "222:" + "b" * 35), chat(3, 3, "333:" + "c" * 35))
    assert event is not None
    assert event.type == NOTICE_TYPE
    [delivery] = event.deliveries
    assert delivery.webhook_id == 3
    data = msgspec.json.decode(event.data)
    assert {name: data[name] for name in ("name", "channel", "state", "reason")} == {
        "name": "number 1",
        "channel": "telegram",
        "state": "disabled",
        "reason": "the bot was blocked",
    }
    assert data["webhook"].startswith("wh_")
    assert data["url_shown"] == "https://api.telegram.org/bot***/sendMessage?chat_id=1"
    assert TOKEN.encode() not in event.data


def test_a_chat_with_the_same_token_is_told_last():
    """What a revoked token stopped stops all chats of that bot: another bot's is the better messenger."""
    same, other = chat(2, 2), chat(3, 3, "333:" + "c" * 35)
    assert told(chat(1), same, other).deliveries[0].webhook_id == 3
    assert told(chat(1), same).deliveries[0].webhook_id == 2


@pytest.mark.parametrize(
    "change",
    [
        {"state": WebhookState.DISABLED},
        {"state": WebhookState.FAILED},
        {"muted_until": Millis(NOW + 1)},
    ],
)
def test_nobody_is_told_who_would_not_hear_it(change):
    """A webhook that is stopped or muted itself is no messenger; without another the e-mail has to do."""
    assert told(chat(1), chat(2, 2, **change)) is None
    assert told(chat(1)) is None
    assert told(chat(1), chat(2, 2, muted_until=NOW)) is not None
