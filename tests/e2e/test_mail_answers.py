"""Every reply in a mail server's table of errors leads to the right end, over real SMTP."""

import re
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.api import Json, Shop
from tests.support.chats import Chats
from tests.support.server import Server
from tests.support.waiting import until
from tocsin.receiver.doubles import MailDouble

# What becomes of the delivery, and a part of the reason. After a retry the next attempt comes within half a second.
TABLE = {
    "auth_required": ("retried", "530"),
    # A connection that was kept may be closed at any time: the mail goes out over another one, in the same attempt.
    "closing": ("sent", ""),
    "too_many": ("sent", ""),
    "no_storage": ("retried", "452"),
    "sender_refused": ("retried", "550"),
    "mailbox_busy": ("retried", "450"),
    "greylisted": ("retried", "451"),
    "mailbox_full": ("retried", "452"),
    "unknown_user": ("stopped", "does not exist"),
    "mailbox_disabled": ("stopped", "does not exist"),
    "relay_denied": ("retried", "554"),
    "over_quota": ("retried", "552"),
    "local_error": ("retried", "451"),
    "too_large": ("rejected", "552"),
    "spam": ("rejected", "554"),
    "unauthenticated": ("rejected", "550"),
    "malformed": ("rejected", "550"),
    "cut": ("retried", ""),
}
# Logins have their tests with the mail server, and so has one that says nothing: `tests/notices`.
ELSEWHERE = {"auth_failed", "auth_unavailable", "no_answer"}
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def chats() -> Iterator[Chats]:
    with Chats() as chats:
        yield chats


@pytest.fixture(scope="module")
def mail(chats: Chats) -> MailDouble:
    return chats.open(MailDouble)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, mail: MailDouble) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server"), retry_scale=0.1, smtp_url=mail.smtp_url) as server:
        yield server


def confirmed(shop: Shop, chats: Chats, mail: MailDouble) -> str:
    """A webhook whose reader has given the code that they were sent; its id."""
    sent = len(mail.messages)
    hook = shop.webhook(f"mailto:reader-{next(_NUMBERS)}@example.com", channel="email")["id"]
    asked = mail.message(chats.wait_for(mail, sent + 1)[-1]).get_body(("plain",))
    assert asked is not None
    code = re.search(r"^Code: (\S+)", asked.get_content(), re.MULTILINE)
    assert code is not None
    shop.post(f"/v1/webhooks/{hook}/confirm", {"code": code[1]})
    return hook


def test_the_table_is_whole() -> None:
    """No reply that the double knows is left out."""
    assert set(TABLE) | ELSEWHERE == set(MailDouble.ERRORS)


@pytest.mark.parametrize("name", TABLE)
def test_a_reply_leads_to_its_end(server: Server, chats: Chats, mail: MailDouble, name: str) -> None:
    """A mailbox that is gone ends its webhook, a mail that is refused has failed, all else is tried again."""
    end, reason = TABLE[name]
    shop = server.operator.shop()
    hook = confirmed(shop, chats, mail)
    sent = len(mail.messages)
    mail.fail_with(name)
    event = shop.publish()
    state = {"sent": "succeeded", "retried": "succeeded", "rejected": "failed", "stopped": "retrying"}[end]
    delivery = shop.wait_delivery(event["id"], hook, state)
    first: Json = delivery["attempts"][0]
    outcome = "succeeded" if end == "sent" else "connection_lost" if name == "cut" else "mail_error"
    assert first["outcome"] == outcome
    assert reason in (first["error"] or "")
    assert len(delivery["attempts"]) == (2 if end == "retried" else 1)
    if end == "stopped":
        until(lambda: shop.status(hook)["status"] == "disabled", "disabled")
        assert reason in shop.status(hook)["status_reason"]
    else:
        assert shop.status(hook)["status"] == "active"
    assert len(mail.messages) == sent + (1 if end in ("sent", "retried") else 0)
