"""Every answer in each service's table of errors leads to the right end, over real HTTP.

A server, the doubles of the services, a mail server: what becomes of the delivery and of the webhook, what its owner is
told by mail and in another chat, and that what was held goes out once the trouble is over.
"""

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.support.api import Json, Shop
from tests.support.chats import Chats
from tests.support.mail import MailHost
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until
from tocsin.receiver.doubles import DiscordDouble, Double, SlackDouble, TelegramDouble

# The first retry comes after half a second; a pause that a service asks for is not scaled.
RETRY_SCALE = 0.1
PAUSE_S = 1.5


class End(NamedTuple):
    """What an error comes to, and a part of the reason that is given."""

    kind: str  # stopped, rejected, retried, throttled, moved
    reason: str


def stopped(reason: str) -> End:
    return End("stopped", reason)


def rejected(reason: str) -> End:
    return End("rejected", reason)


def retried(reason: str) -> End:
    return End("retried", reason)


def throttled(reason: str) -> End:
    return End("throttled", reason)


SLACK = {
    "invalid_payload": rejected("could not read"),
    "invalid_blocks": rejected("blocks"),
    "invalid_attachments": rejected("attachment"),
    "no_text": rejected("no text"),
    "too_many_attachments": rejected("too many attachments"),
    "user_not_found": stopped("no longer in Slack"),
    "action_prohibited": stopped("administrator"),
    "posting_to_general_channel_denied": stopped("general channel"),
    "invalid_token": stopped("token"),
    "channel_not_found": stopped("channel is gone"),
    "no_active_hooks": stopped("removed or switched off"),
    "no_service": stopped("removed or switched off"),
    "no_service_id": stopped("removed or switched off"),
    "no_team": stopped("workspace"),
    "team_disabled": stopped("workspace"),
    "channel_is_archived": stopped("archived"),
    "rollup_error": retried("fault of its own"),
    "rate_limited": throttled("slowly"),
    "bad_gateway": retried("502"),
    "unavailable": retried("503"),
    "gateway_timeout": retried("504"),
}

TELEGRAM = {
    "unauthorized": stopped("token is wrong, or was revoked"),
    "not_found": stopped("No bot has this token"),
    "method_not_found": stopped("No bot has this token"),
    "bot_blocked": stopped("blocked the bot"),
    "user_deactivated": stopped("no longer exists"),
    "cannot_initiate": stopped("never started the bot"),
    "bot_to_bot": stopped("another bot"),
    "kicked_group": stopped("removed from the chat"),
    "kicked_supergroup": stopped("removed from the chat"),
    "kicked_channel": stopped("removed from the chat"),
    "not_member_supergroup": stopped("not in the chat"),
    "not_member_channel": stopped("not in the chat"),
    "group_deleted": stopped("deleted"),
    "chat_not_found": stopped("no such chat"),
    "chat_id_empty": stopped("no chat_id"),
    "no_rights": stopped("may not write"),
    "write_forbidden": stopped("may not write"),
    "need_administrator": stopped("administrator"),
    "thread_not_found": stopped("topic no longer exists"),
    "topic_closed": stopped("topic is closed"),
    "migrated": End("moved", "supergroup"),
    "text_empty": rejected("text is empty"),
    "too_long": rejected("too long"),
    "cannot_parse": rejected("parse entities"),
    "bad_parse_mode": rejected("parse_mode"),
    "bad_json": rejected("JSON"),
    # Of a message that is new they mean nothing; what they mean of one that is changed has a test of its own.
    "not_modified": rejected("not modified"),
    "edit_not_found": rejected("not found"),
    "cannot_edit": rejected("can't be edited"),
    "no_message_id": rejected("not specified"),
    "too_many_requests": throttled("Too fast"),
    "internal_error": retried("Internal Server Error"),
    "bad_gateway": retried("Bad Gateway"),
    "unavailable": retried("503"),
    "gateway_timeout": retried("504"),
}

DISCORD = {
    "unknown_webhook": stopped("deleted"),
    "invalid_token": stopped("token"),
    "unknown_channel": stopped("gone"),
    "missing_access": stopped("permissions"),
    "missing_permissions": stopped("permissions"),
    "thread_archived": stopped("archived"),
    "thread_locked": stopped("locked"),
    "forum_needs_thread": stopped("forum"),
    "not_found": stopped("no webhook at this address"),
    "method_not_allowed": stopped("no webhook at this address"),
    "invalid_form_body": rejected("Must be 4096 or fewer"),
    "invalid_form_body_old": rejected("did not take"),
    "empty_message": rejected("empty"),
    "invalid_json": rejected("could not read"),
    "bad_content_type": rejected("Content-Type"),
    "not_a_forum": rejected("did not take"),
    "blocked_by_automod": rejected("moderation"),
    "too_large": rejected("too large"),
    # Never said of a message that is new; what they mean of one that is changed has a test of its own.
    "unknown_message": stopped("no webhook at this address"),
    "not_author": stopped("no webhook at this address"),
    "rate_limited": throttled("slowly"),
    "rate_limited_shared": throttled("slowly"),
    "rate_limited_global": throttled("from this server"),
    "banned": throttled("Cloudflare"),
    "internal_error": retried("500"),
    "overloaded": retried("overloaded"),
    "bad_gateway": retried("502"),
    "unavailable": retried("503"),
    "gateway_timeout": retried("504"),
}

TABLES: dict[type[Double], dict[str, End]] = {SlackDouble: SLACK, TelegramDouble: TELEGRAM, DiscordDouble: DISCORD}
SILENT = "no_answer"  # no answer is no reading: `test_silence_is_no_reading`


@pytest.fixture(scope="module")
def chats() -> Iterator[Chats]:
    with Chats() as chats:
        yield chats


@pytest.fixture(scope="module")
def mail_host() -> Iterator[MailHost]:
    with MailHost() as host:
        yield host


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mail_host: MailHost) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    with Server(folder, retry_scale=RETRY_SCALE, smtp_url=mail_host.url()) as server:
        yield server


class Scene:
    """An account with a chat that will be in trouble, and another one that hears of it."""

    def __init__(self, server: Server, chats: Chats, mail_host: MailHost, kind: type[Double], name: str) -> None:
        self.chats = chats
        self.mail_host = mail_host
        self.mailbox = f"{kind.service}-{name}@example.com"
        self.shop: Shop = server.operator.shop(notify_email=self.mailbox)
        self.double = chats.open(kind)
        self.other = chats.open(SlackDouble if kind is not SlackDouble else DiscordDouble)
        self.hook = self.webhook(self.double, name="Sales")
        self.webhook(self.other, events=["visit.created"], name="Operations")

    def webhook(self, double: Double, **more: Any) -> Json:
        return self.shop.webhook(**{"url": self.chats.address(double), "channel": double.service, **more})

    @property
    def status(self) -> Json:
        return self.shop.status(self.hook["id"])

    def delivery(self, event: Json, status: str) -> Json:
        return self.shop.wait_delivery(event["id"], self.hook["id"], status)

    def mails(self) -> list[str]:
        return [mail.part("plain") for mail in self.mail_host.mails if mail.recipient == self.mailbox]

    def close(self) -> None:
        self.chats.close(self.double)
        self.chats.close(self.other)


CASES = [
    pytest.param(kind, name, end, id=f"{kind.service}-{name}")
    for kind, table in TABLES.items()
    for name, end in table.items()
]


@pytest.mark.parametrize("kind", TABLES)
def test_the_tables_are_whole(kind: type[Double]) -> None:
    """No error that a service is known to answer is left out."""
    assert set(TABLES[kind]) | {SILENT} == set(kind.ERRORS)


@pytest.mark.parametrize(("kind", "name", "end"), CASES)
def test_an_answer_leads_to_its_end(
    server: Server, chats: Chats, mail_host: MailHost, kind: type[Double], name: str, end: End
) -> None:
    """The delivery, the webhook, the reason, who is told; and when the trouble is over, the message arrives."""
    scene = Scene(server, chats, mail_host, kind, name)
    waits = kind.ERRORS[name].retry_after is not None
    scene.double.fail_with(name, retry_after=PAUSE_S if waits else None)
    event = scene.shop.publish()
    {"stopped": _stopped, "rejected": _rejected, "retried": _sent_again, "throttled": _throttled, "moved": _moved}[
        end.kind
    ](scene, event, end.reason)
    scene.close()


def _first(delivery: Json, reason: str) -> Json:
    """The attempt that met the error says why, in plain words."""
    attempt = delivery["attempts"][0]
    assert attempt["outcome"] == "http_error", attempt
    assert reason in attempt["error"], attempt["error"]
    assert attempt["request"]["body"]
    return attempt


def _stopped(scene: Scene, event: Json, reason: str) -> None:
    until(lambda: scene.status["status"] == "disabled", lambda: f"disabled, but {scene.status}")
    assert reason in scene.status["status_reason"]
    waiting = scene.delivery(event, "retrying")
    _first(waiting, reason)
    # Its owner is told by mail, and where else they are to be had.
    until(lambda: len(scene.mails()) == 1, "a mail")
    assert reason in " ".join(scene.mails()[0].split())
    [said] = scene.chats.wait_for(scene.other, 1)
    assert "Sales" in said.text
    assert reason in said.text
    # Nothing more goes there, and nothing is lost: it is held until the webhook is enabled.
    assert len(scene.double.refused) == 1
    assert scene.shop.publish()["matched"] == 0
    scene.shop.post(f"/v1/webhooks/{scene.hook['id']}/enable")
    sent = scene.delivery(event, "succeeded")
    assert [attempt["outcome"] for attempt in sent["attempts"]] == ["http_error", "succeeded"]
    assert len(scene.double.messages) == 1


def _rejected(scene: Scene, event: Json, reason: str) -> None:
    failed = scene.delivery(event, "failed")
    _first(failed, reason)
    assert len(failed["attempts"]) == 1
    assert scene.status["status"] == "active"
    another = scene.shop.publish()
    scene.delivery(another, "succeeded")
    assert len(scene.double.refused) == len(scene.double.messages) == 1
    assert scene.mails() == []


def _sent_again(scene: Scene, event: Json, reason: str) -> None:
    sent = scene.delivery(event, "succeeded")
    _first(sent, reason)
    assert len(sent["attempts"]) == 2
    assert scene.status["status"] == "active"
    assert len(scene.double.messages) == 1


def _throttled(scene: Scene, event: Json, reason: str) -> None:
    sent = scene.delivery(event, "succeeded")
    _first(sent, reason)
    assert len(sent["attempts"]) == 2
    assert _at_s(scene.double.messages[0]) - _at_s(scene.double.refused[0]) >= PAUSE_S
    assert scene.status["status"] == "active"


def _at_s(entry: Any) -> float:
    return entry.at / 1000


def _moved(scene: Scene, event: Json, reason: str) -> None:
    before = scene.status["url"]
    sent = scene.delivery(event, "succeeded")
    _first(sent, reason)
    assert len(sent["attempts"]) == 2
    assert scene.status["status"] == "active"
    assert scene.status["url"] != before
    [message] = scene.double.messages
    assert message.chat == "Moved"
    # From now on it goes there at once; who changed the address stands in the audit log.
    scene.delivery(scene.shop.publish(), "succeeded")
    assert len(scene.double.refused) == 1
    audit = scene.shop.get("/v1/audit")["data"]
    [moved] = [entry for entry in audit if entry["action"] == "webhook.moved"]
    assert moved["actor"] == "system"
    assert moved["subject"] == scene.hook["id"]
    assert reason in moved["detail"]["reason"]


def test_silence_is_no_reading(server: Server, chats: Chats, mail_host: MailHost) -> None:
    """A chat that takes the message and says nothing has timed out, as any receiver; then it is sent again."""
    scenes = [Scene(server, chats, mail_host, kind, SILENT) for kind in TABLES]
    for scene in scenes:
        scene.double.fail_with(SILENT)
    events = [scene.shop.publish() for scene in scenes]
    for scene, event in zip(scenes, events, strict=True):
        sent = scene.shop.wait_delivery(event["id"], scene.hook["id"], "succeeded", 25)
        assert [attempt["outcome"] for attempt in sent["attempts"]] == ["timeout", "succeeded"]
        scene.close()


# --- messages that are changed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "messages"),
    [
        (TelegramDouble, "not_modified", 1),
        (TelegramDouble, "edit_not_found", 2),
        (TelegramDouble, "cannot_edit", 2),
        (TelegramDouble, "no_message_id", 2),
        (DiscordDouble, "unknown_message", 2),
        (DiscordDouble, "not_author", 2),
        (DiscordDouble, "thread_archived", 2),
    ],
)
def test_what_cannot_be_changed_is_said_anew(
    server: Server, chats: Chats, mail_host: MailHost, kind: type[Double], name: str, messages: int
) -> None:
    """The last word on a burst of fraud arrives where the message before is gone, too; and is not said twice."""
    scene = Scene(server, chats, mail_host, kind, f"edit-{name}")
    scene.shop.change(scene.hook["id"], options={"digest": {"window_s": 2, "max": 0}})
    scene.shop.publish("fraud.detected")
    chats.wait_for(scene.double, 1)
    scene.double.fail_with(name)
    [digest] = [one for one in scene.shop.deliveries(webhook=scene.hook["id"]) if one["type"] == "tocsin.digest"]
    until(lambda: scene.shop.delivery(digest["id"])["status"] == "succeeded", "its end")
    attempts = scene.shop.delivery(digest["id"])["attempts"]
    assert attempts[0]["outcome"] == attempts[-1]["outcome"] == "succeeded"
    assert len(scene.double.refused) == 1
    assert len(scene.double.messages) == messages
    assert len(attempts) == messages + 1
    if messages == 2:
        assert "no longer there" in attempts[1]["error"]
    assert scene.status["status"] == "active"
    scene.close()


# --- who shares a token, and who does not -------------------------------------------------------------------------


def test_webhooks_with_one_token_share_the_pause(server: Server, chats: Chats, mail_host: MailHost) -> None:
    """One chat of a bot is told to wait: another chat of that bot waits as well, and a signed webhook does not."""
    scene = Scene(server, chats, mail_host, TelegramDouble, "shared")
    double = scene.double
    assert isinstance(double, TelegramDouble)
    sister = scene.webhook(double, events=["impression.created"], name="Sister")
    plain = chats.open(SlackDouble)  # takes anything at once: here as the receiver of a webhook that is no chat
    signed = scene.shop.webhook(plain.page, events=["impression.created"])
    double.fail_with("too_many_requests", retry_after=3)
    first = scene.shop.publish()
    until(lambda: len(double.refused) == 1, "the refusal")
    second = scene.shop.publish("impression.created")
    scene.shop.wait_delivery(second["id"], signed["id"], "retrying")  # it was tried, and its page takes no POST
    assert double.messages == []
    scene.delivery(first, "succeeded")
    sent = scene.shop.wait_delivery(second["id"], sister["id"], "succeeded")
    assert len(sent["attempts"]) == 1
    assert len(double.refused) == 1
    assert all(_at_s(one) - _at_s(double.refused[0]) >= 3 for one in double.messages)
    assert 'tocsin_throttled_total{channel="telegram"}' in scene.shop.call("GET", "/metrics").body.decode()
    chats.close(plain)
    scene.close()


def test_webhooks_into_one_chat_take_turns_at_its_pace(server: Server, chats: Chats) -> None:
    """Of three accounts that write to one chat, each has its first message there before one has its second."""
    double = chats.open(TelegramDouble)
    address = chats.address(double)
    shops = [server.operator.shop(f"Shop {n}") for n in "ABC"]
    for shop in shops:
        shop.webhook(address, channel="telegram", options={"digest": {"window_s": 600, "max": 5}})
    double.fail_with("too_many_requests", retry_after=4)  # so that all of them wait when the first may go
    for shop in shops:
        shop.publish_batch([shop.event() for _ in range(2)])
    said = chats.wait_for(double, 6)
    speakers = [next(n for n in "ABC" if f"Shop {n}" in message.text) for message in said]
    assert sorted(speakers[:3]) == sorted(speakers[3:]) == ["A", "B", "C"]
    gaps = [_at_s(later) - _at_s(message) for message, later in itertools.pairwise(said)]
    assert min(gaps) >= 0.99  # a second at the sender's end; the receiver's own work comes in between
    assert len(double.refused) == 1
    chats.close(double)


def test_by_hand_a_chat_answers_as_it_does(server: Server, chats: Chats, mail_host: MailHost) -> None:
    """Tests and retries show what was said; a chat that is gone ends its webhook by a retry, not by a test."""
    scene = Scene(server, chats, mail_host, TelegramDouble, "by-hand")
    hook = scene.hook["id"]
    scene.double.fail_with("bot_blocked")
    tested = scene.shop.post(f"/v1/webhooks/{hook}/test")
    assert "blocked the bot" in tested["error"]
    assert scene.status["status"] == "active"
    scene.double.fail_with("too_long")
    event = scene.shop.publish()
    failed = scene.delivery(event, "failed")
    scene.double.fail_with("bot_blocked")
    retried = scene.shop.post(f"/v1/deliveries/{failed['id']}/retry")
    assert "blocked the bot" in retried["error"]
    until(lambda: scene.status["status"] == "disabled", "disabled")
    assert "blocked the bot" in scene.status["status_reason"]
    assert scene.shop.delivery(failed["id"])["status"] == "failed"
    scene.close()


def test_a_group_that_moved_is_found_by_a_test_too(server: Server, chats: Chats, mail_host: MailHost) -> None:
    """What a test learns of the new address holds for all that comes after."""
    scene = Scene(server, chats, mail_host, TelegramDouble, "moved-by-hand")
    before = scene.status["url"]
    scene.double.fail_with("migrated")
    assert "supergroup" in scene.shop.post(f"/v1/webhooks/{scene.hook['id']}/test")["error"]
    until(lambda: scene.status["url"] != before, "its new address")
    scene.delivery(scene.shop.publish(), "succeeded")
    assert [message.chat for message in scene.double.messages] == ["Moved"]
    scene.close()


def test_a_chat_hears_of_a_signed_webhook_that_was_stopped(
    server: Server, chats: Chats, mail_host: MailHost, receiver: LedgerReceiver
) -> None:
    """A receiver that is gone: its webhook is disabled, and a chat is told at once, in the middle of a digest too."""
    scene = Scene(server, chats, mail_host, DiscordDouble, "told")
    scene.shop.change(scene.hook["id"], options={"digest": {"window_s": 600, "max": 0}})
    receiver.script("/gone", Answer(410))
    gone = scene.shop.webhook(receiver.url("/gone"), name="Orders")
    event = scene.shop.publish()
    [said] = chats.wait_for(scene.double, 1)
    assert "Orders" in said.text
    assert "410" in said.text
    assert scene.shop.status(gone["id"])["status"] == "disabled"
    assert scene.shop.delivery_of(event["id"], scene.hook["id"])["status"] == "digested"
    [delivery] = [one for one in scene.shop.deliveries() if one["type"] == "tocsin.notice"]
    assert delivery["webhook_id"] == scene.hook["id"]
    scene.shop.wait_delivery(delivery["event_id"], scene.hook["id"], "succeeded")
    scene.close()


# --- nobody sees a token ------------------------------------------------------------------------------------------


def test_no_credential_is_told_anywhere(start_server: Any, chats: Chats, receiver: LedgerReceiver) -> None:
    """However it fails: not in the log, not in an answer of the API, not in the audit log, not in the figures."""
    token = "110200300:AA_a_token_that_nobody_may_ever_see_9"
    secret = token.partition(":")[2]
    first: Server = start_server()
    shop = first.operator.shop(profile="trcker")
    telegram, silent, closed = (chats.open(TelegramDouble) for _ in range(3))
    silent.fail_with(SILENT, None)
    chats.close(closed)
    receiver.script(f"/bot{token}/sendMessage", Answer(418, body=f"no /bot{token}/sendMessage here".encode()))
    hosts = {
        "refused": telegram.page,  # 401: that is another bot's token
        "repeated": receiver.url("/"),
        "timeout": silent.page,
        "connect_error": closed.page,
        "dns_error": "https://nowhere.invalid/",
        "tls_error": telegram.page.replace("http:", "https:"),
        "blocked": "http://127.0.0.9:8443/",  # by the server that comes after
    }
    hooks = {
        name: shop.webhook(f"{host}bot{token}/sendMessage?chat_id={number}", channel="telegram")["id"]
        for number, (name, host) in enumerate(hosts.items(), 7)
    }
    first.stop()
    second: Server = start_server(db=f"sqlite:///{first.db}", allow_networks="127.0.0.0/30", log_format="json")
    shop = Shop(lambda: second.url, {"id": shop.id, "key": shop.key})
    malformed = shop.call("POST", "/v1/webhooks", {"url": f"https://t.me/bot{token}", "channel": "telegram"})
    assert malformed.status == 422
    event = shop.publish("conversion.created")
    for name, hook in hooks.items():
        until(lambda hook=hook: _attempts(shop, event, hook), f"an attempt at {name}")
        outcome = "http_error" if name in {"refused", "repeated"} else name
        assert _attempts(shop, event, hook)[0]["outcome"] == outcome
        if name != "timeout":
            shop.post(f"/v1/webhooks/{hook}/test")
    until(lambda: shop.status(hooks["refused"])["status"] == "disabled", "disabled")
    paths = ["/v1/webhooks", "/v1/deliveries", "/v1/audit", "/metrics", f"/v1/events/{event['id']}"]
    paths += [f"/v1/deliveries/{one['id']}" for one in shop.deliveries()]
    told = [malformed, *(shop.call("GET", path) for path in paths)]
    told += [shop.call("POST", f"/v1/webhooks/{hook}/preview", {}) for hook in hooks.values()]
    assert "/bot***/sendMessage" in told[1].body.decode()
    for said in (*(answer.body.decode() for answer in told), first.log.read_text(), second.log.read_text()):
        assert secret not in said


def _attempts(shop: Shop, event: Json, hook: str) -> list[Json]:
    found = shop.delivery_of(event["id"], hook)
    return found["attempts"] if found else []
