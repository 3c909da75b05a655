"""Who reads at an e-mail address is asked first: by mail, in bounds; and what a link allows is what it was made for."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.site import Site
from tests.support.api import Json, Shop
from tests.support.mail import Mail, MailHost
from tests.support.waiting import until
from tocsin.clock import ManualClock

PUBLIC = "https://tocsin.example.com"
HOUR_S, DAY_S = 3_600, 86_400


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def host() -> Iterator[MailHost]:
    with MailHost() as host:
        yield host


@pytest.fixture
def mailing(tmp_path: Path, clock: ManualClock, host: MailHost) -> Iterator[Site]:
    with Site(tmp_path, clock=clock, smtp_url=host.url(), public_url=PUBLIC) as site:
        yield site


@pytest.fixture
def shop(mailing: Site) -> Shop:
    return mailing.operator.shop(name="Rocket <Shoes>")


def asked(host: MailHost, n: int) -> Mail:
    return host.wait_for(n)[n - 1]


def path_in(mail: Mail) -> str:
    found = re.search(rf"{PUBLIC}(/links/[\w-]+)", mail.part("plain"))
    assert found is not None
    return found[1]


def email(shop: Shop, to: str = "reader@example.com", **more: Json) -> Json:
    return shop.webhook(f"mailto:{to}", channel="email", **more)


def press(site: Site, path: str) -> tuple[int, str]:
    answer = site.ask("POST", path)
    return answer.status, answer.body.decode()


def test_what_the_mail_asks(shop: Shop, host: MailHost):
    """Who wants to send what to whom, in both parts; one Message-ID; no way to leave what has not begun."""
    hook = email(shop, name="Sales", events=["conversion.*", "click.created"])
    mail = asked(host, 1)
    assert mail.message["To"] == "reader@example.com"
    assert mail.message["Subject"] == "Confirm alerts of Rocket <Shoes> to this address"
    assert mail.message["Message-ID"].startswith("<ntc_")
    assert mail.message["Auto-Submitted"] == "auto-generated"
    assert mail.message["List-Unsubscribe"] is None
    for kind in ("plain", "html"):
        part = mail.part(kind)
        for said in ("Sales", hook["id"], "conversion.*, click.created", "Nothing is sent until you agree"):
            assert said in part
    assert "Rocket &lt;Shoes&gt;" in mail.part("html")


def test_a_page_shows_and_only_its_button_acts(mailing: Site, shop: Shop, host: MailHost):
    """Whatever a mail scanner fetches changes nothing; what is foreign on the page is only text."""
    hook = email(shop)
    path = path_in(asked(host, 1))
    for method in ("GET", "HEAD"):
        page = mailing.ask(method, path)
        assert page.status == 200
    assert "Rocket &lt;Shoes&gt;" in page.body.decode()
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert shop.status(hook["id"])["confirmed_at"] is None
    assert mailing.ask("PUT", path).status == 405
    status, said = press(mailing, path)
    assert status == 200
    assert "You get these alerts" in said
    assert shop.status(hook["id"])["status"] == "active"
    since = shop.status(hook["id"])["confirmed_at"]
    assert press(mailing, path)[0] == 200, "twice is no error"
    assert shop.status(hook["id"])["confirmed_at"] == since


def test_a_link_has_its_time(mailing: Site, shop: Shop, host: MailHost, clock: ManualClock):
    """After a week it leads nowhere, and a new one can be had."""
    hook = email(shop)
    path = path_in(asked(host, 1))
    clock.advance(7 * DAY_S)
    assert press(mailing, path)[0] == 404
    assert mailing.ask("GET", path).status == 404
    again = shop.post(f"/v1/webhooks/{hook['id']}/confirm")
    assert again["mail_sent"] is True
    assert press(mailing, path_in(asked(host, 2)))[0] == 200
    assert shop.status(hook["id"])["status"] == "active"


@pytest.mark.parametrize("token", ["x", "A" * 63, "%00", "A" * 5_000])
def test_what_is_no_link_leads_nowhere(mailing: Site, token: str):
    """All the same page, by either method."""
    for method in ("GET", "POST"):
        answer = mailing.ask(method, f"/links/{token}")
        assert answer.status == 404
        assert b"This link leads nowhere" in answer.body


def test_asking_is_paced(mailing: Site, shop: Shop, host: MailHost, clock: ManualClock):
    """One a minute for a webhook, twenty an hour for an account: these mails go to people who asked for nothing."""
    hook = email(shop)
    refused = shop.call("POST", f"/v1/webhooks/{hook['id']}/confirm", {})
    assert (refused.status, refused.code) == (409, "confirmation_paced")
    clock.advance(60)
    shop.post(f"/v1/webhooks/{hook['id']}/confirm")
    for n in range(18):
        email(shop, f"reader{n}@example.com")
    refused = shop.call("POST", "/v1/webhooks", {"url": "mailto:last@example.com", "events": ["*"], "channel": "email"})
    assert (refused.status, refused.code) == (409, "confirmation_paced")
    assert "last@example.com" not in str(shop.get("/v1/webhooks"))
    other = mailing.operator.shop()
    email(other)
    clock.advance(HOUR_S)
    email(shop, "last@example.com")
    host.wait_for(22)


def test_another_address_is_asked_anew(mailing: Site, shop: Shop, host: MailHost, clock: ManualClock):
    """The webhook waits for its new reader, and the old one's links are worth nothing; the same address stays."""
    hook = email(shop)
    old = path_in(asked(host, 1))
    press(mailing, old)
    clock.advance(60)
    assert shop.change(hook["id"], url="mailto:READER@example.com")["status"] == "disabled", "another mailbox"
    path_in(asked(host, 2))
    clock.advance(60)
    now = shop.change(hook["id"], url="mailto:new@example.com")
    assert (now["status"], now["status_reason"]) == ("disabled", "its address is not confirmed yet")
    assert now["confirmed_at"] is None
    assert press(mailing, old)[0] == 404
    assert shop.status(hook["id"])["confirmed_at"] is None
    new = asked(host, 3)
    assert new.recipient == "new@example.com"
    press(mailing, path_in(new))
    now = shop.status(hook["id"])
    assert (now["status"], now["url"]) == ("active", "mailto:new@example.com")
    clock.advance(60)
    assert shop.change(hook["id"], url="mailto:new@example.com", name="as it was")["status"] == "active"
    assert len(host.mails) == 3


def test_an_owner_s_word_counts(mailing: Site, shop: Shop, host: MailHost, clock: ManualClock):
    """What its owner disabled does not become active by a click of its reader's."""
    hook = email(shop)
    shop.post(f"/v1/webhooks/{hook['id']}/disable", {"reason": "not before Monday"})
    press(mailing, path_in(asked(host, 1)))
    now = shop.status(hook["id"])
    assert (now["status"], now["status_reason"]) == ("disabled", "not before Monday")
    assert now["confirmed_at"] is not None
    assert shop.post(f"/v1/webhooks/{hook['id']}/enable")["status"] == "active"
    clock.advance(60)
    now = shop.change(hook["id"], url="mailto:new@example.com", enabled=False)
    assert (now["status"], now["status_reason"]) == ("disabled", "disabled by its owner")


@pytest.mark.parametrize("way", ["enable", "patch"])
def test_nobody_can_enable_it_before(shop: Shop, way: str):
    """By neither way."""
    hook = email(shop)
    if way == "enable":
        refused = shop.call("POST", f"/v1/webhooks/{hook['id']}/enable", {})
    else:
        refused = shop.call("PATCH", f"/v1/webhooks/{hook['id']}", {"enabled": True})
    assert (refused.status, refused.code) == (409, "not_confirmed")
    assert shop.status(hook["id"])["status"] == "disabled"


def test_leaving_and_coming_back(mailing: Site, shop: Shop, host: MailHost, clock: ManualClock):
    """A reader who left is asked anew where its owner wants it, and the webhook goes on when they agree."""
    hook = email(shop)
    press(mailing, path_in(asked(host, 1)))
    shop.publish()
    leave = path_in(asked(host, 2))
    status, said = press(mailing, leave)
    assert status == 200
    assert "You get no more alerts" in said
    assert press(mailing, leave)[0] == 200, "twice is no error"
    assert shop.status(hook["id"])["status_reason"] == "its reader unsubscribed"
    clock.advance(60)
    shop.post(f"/v1/webhooks/{hook['id']}/confirm")
    press(mailing, path_in(asked(host, 3)))
    assert shop.status(hook["id"])["status"] == "active"
    actions = [(one["action"], one["actor"]) for one in shop.get("/v1/audit")["data"]]
    assert actions.count(("webhook.confirmed", "reader")) == 2
    assert actions.count(("webhook.left", "reader")) == 1
    asker = next(actor for action, actor in actions if action == "webhook.confirmation_asked")
    assert asker.startswith("key_")


def test_a_link_of_what_is_gone(mailing: Site, shop: Shop, host: MailHost):
    """A webhook that was deleted cannot be confirmed, and its mail does not go out late."""
    hook = email(shop)
    path = path_in(asked(host, 1))
    shop.ok("DELETE", f"/v1/webhooks/{hook['id']}")
    assert press(mailing, path)[0] == 404
    assert mailing.ask("GET", path).status == 404


def test_a_code_of_another_webhook(mailing: Site, shop: Shop, host: MailHost):
    """A link or code confirms nothing but the webhook it was sent for, whoever has it."""
    email(shop)
    code = path_in(asked(host, 1)).rpartition("/")[2]
    other = mailing.operator.shop()
    mine = email(other)
    for given in (code, f"{PUBLIC}/links/{code}"):
        refused = other.call("POST", f"/v1/webhooks/{mine['id']}/confirm", {"code": given})
        assert (refused.status, refused.code) == (422, "code_invalid")
    own = path_in(asked(host, 2)).rpartition("/")[2]
    assert other.post(f"/v1/webhooks/{mine['id']}/confirm", {"code": f" {PUBLIC}/links/{own}\n"})["status"] == "active"


def test_other_channels_ask_nobody(shop: Shop):
    """They have nobody to ask."""
    hook = shop.webhook("http://127.0.0.1:9999/hooks")
    assert hook["confirmed_at"] is None
    assert hook["status"] == "active"
    refused = shop.call("POST", f"/v1/webhooks/{hook['id']}/confirm", {})
    assert (refused.status, refused.code) == (409, "no_confirmation")
    until(lambda: shop.status(hook["id"])["status"] == "active", "still active")
