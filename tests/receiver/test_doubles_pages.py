"""The doubles' pages in a real browser: messages as people see them, live, whatever they hold."""

import json
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import httpx
import pytest

from tests.support.browser import Watched, browsing
from tests.support.doubles import scene
from tocsin.receiver.doubles import DiscordDouble, Double, MailDouble, SlackDouble, TelegramDouble

HOSTILE = (
    '<script>window.hacked=1</script><img src=x onerror="window.hacked=1"><iframe src="ELSEWHERE"></iframe>'
    '"><svg onload=window.hacked=1> javascript:window.hacked=1 \u202e\u0007\u2028 مرحبا @everyone '
    + "x" * 300
    + " </textarea></style></title>"
)

_PATIENT_S = 120  # a browser starts in a second, on a machine that has nothing else to do


def hostile_slack() -> list[dict]:
    escaped = HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    text = {"type": "mrkdwn", "text": escaped}
    plain = {"type": "plain_text", "text": HOSTILE[:110]}
    link = {"type": "button", "text": {"type": "plain_text", "text": "x"}, "url": "javascript:window.hacked=1"}
    blocks = [
        {"type": "header", "text": plain},
        {"type": "section", "text": text, "fields": [text, text]},
        {"type": "context", "elements": [text]},
        {"type": "actions", "elements": [link]},
        {"type": "image", "image_url": "ELSEWHERE/x.png", "alt_text": HOSTILE},
    ]
    return [
        {"text": HOSTILE, "username": HOSTILE},
        {"text": "<javascript:window.hacked=1|click>"},
        {"blocks": blocks},
        {"attachments": [{"color": 'red;"><script>', "title": HOSTILE, "title_link": "javascript:x", "text": HOSTILE}]},
    ]


def hostile_discord() -> list[dict]:
    embed: dict[str, Any] = {
        "title": HOSTILE[:200],
        "description": f"{HOSTILE}\n[x](javascript:window.hacked=1)",
        "fields": [{"name": HOSTILE[:200], "value": HOSTILE}],
        "footer": {"text": HOSTILE},
        "image": {"url": "ELSEWHERE/x.png"},
    }
    return [{"content": HOSTILE, "username": HOSTILE[:80]}, {"embeds": [embed]}]


def hostile_telegram() -> list[dict]:
    escaped = HOSTILE.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    link = '<a href="javascript:window.hacked=1">x</a>'
    return [{"text": HOSTILE}, {"text": f"<b>{escaped}</b><pre>{escaped}</pre>{link}", "parse_mode": "HTML"}]


async def well(watched: Watched, elsewhere: Double) -> None:
    """Nothing ran, nothing was loaded from elsewhere, nothing is wider than the screen, no link leads to code."""
    page = watched.page
    assert await page.evaluate("window.hacked") is None
    assert watched.dialogs == []
    assert list(elsewhere.history) == []
    assert watched.errors == []
    assert await page.evaluate("document.querySelectorAll('main script, main img, main svg').length") == 0
    links = await page.evaluate("[...document.querySelectorAll('main a[href]')].map((one) => one.getAttribute('href'))")
    assert [link for link in links if not link.startswith(("http://", "https://", "mailto:", "#"))] == []
    width = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert width[0] <= width[1]


@pytest.mark.parametrize("width", [1100, 360])
@pytest.mark.parametrize(
    ("kind", "payloads"),
    [
        (SlackDouble, hostile_slack()),
        (DiscordDouble, hostile_discord()),
        (TelegramDouble, hostile_telegram()),
    ],
)
def test_hostile_messages(kind: type[Double], payloads: list[dict], width: int) -> None:
    """Whatever a message holds is shown as text: nothing of it runs, is loaded, or breaks the page."""

    async def play(double: Double, client: httpx.AsyncClient) -> None:
        elsewhere = TelegramDouble()
        await elsewhere.start()
        for payload in payloads:
            body = json.dumps(payload).replace("ELSEWHERE", elsewhere.page.rstrip("/"))
            answer = await client.post(double.address, content=body, headers={"Content-Type": "application/json"})
            assert answer.status_code < 300, answer.text
        async with browsing(double.page, width) as watched:
            await watched.page.wait_for_selector(f".message:nth-child({len(payloads)})")
            shown = await watched.page.text_content("#messages")
            assert "<script>window.hacked=1</script>" in shown
            await well(watched, elsewhere)
        await elsewhere.stop()

    scene(kind(), play, _PATIENT_S)


def test_a_hostile_mail() -> None:
    """A mail's HTML is shown by itself, without rights: no script, no picture, no way out; its own styles stay."""
    mail = EmailMessage()
    for name, value in (
        ("From", '"<script>window.hacked=1</script>" <tocsin@example.com>'),
        ("To", "alerts@example.com"),
        ("Subject", "<img src=x onerror=alert(1)> 12 clicks"),
        ("Date", "Thu, 01 Jan 2026 00:00:00 +0000"),
        ("Message-ID", "<1@example.com>"),
    ):
        mail[name] = value
    mail.set_content(HOSTILE.replace("\u2028", "").replace("\x07", "") + "\n")
    html = (
        "<meta http-equiv=refresh content='0;url=ELSEWHERE/'><style>@import url(ELSEWHERE/x.css);"
        "p{background:url(ELSEWHERE/y.png)}</style><p style='color: rgb(1, 2, 3)'>Seen</p>"
        "<script>alert(1); top.hacked=1; top.location='ELSEWHERE/'</script><img src=ELSEWHERE/z.png>"
        "<form action=ELSEWHERE/><input name=x autofocus></form>"
    )

    async def play(double: MailDouble, _: httpx.AsyncClient) -> None:
        elsewhere = TelegramDouble()
        await elsewhere.start()
        mail.add_alternative(html.replace("ELSEWHERE", elsewhere.page.rstrip("/")), subtype="html")
        await aiosmtplib.send(mail, hostname="127.0.0.1", port=double.smtp_port, start_tls=False)
        async with browsing(double.page, 390) as watched:
            frame = watched.page.frame_locator("iframe")
            paragraph = frame.locator("p")
            assert await paragraph.inner_text() == "Seen"
            assert await paragraph.evaluate("(one) => getComputedStyle(one).color") == "rgb(1, 2, 3)"
            assert "12 clicks" in await watched.page.inner_text(".subject")
            watched.errors.clear()  # Chromium tells each thing that it did not let the frame do
            await well(watched, elsewhere)
        await elsewhere.stop()

    scene(MailDouble(), play, _PATIENT_S)


def test_the_page_is_live() -> None:
    """Messages appear as they come, change in place, are struck out when they are deleted; refusals are told."""

    async def play(double: DiscordDouble, client: httpx.AsyncClient) -> None:
        async with browsing(double.page) as watched:
            page = watched.page
            await page.wait_for_selector("#address:not(:empty)")
            assert await page.inner_text("#address") == double.address
            assert await page.is_visible("#empty")
            message = (await client.post(f"{double.address}?wait=true", json={"content": "**one**"})).json()
            await page.wait_for_selector(".message strong:text('one')")
            where = f"{double.address}/messages/{message['id']}"
            await client.patch(where, json={"content": "two", "embeds": [{"title": "card", "color": 0xED4245}]})
            await page.wait_for_selector(".message .edited >> visible=true")
            assert await page.inner_text(".message .body .plain") == "two"
            assert await page.locator(".message").count() == 1
            colour = "getComputedStyle(document.querySelector('.bar')).backgroundColor"
            assert await page.evaluate(colour) == "rgb(237, 66, 69)"
            await client.post(double.address, json={})
            await page.wait_for_selector(".refusal:has-text('empty message')")
            await client.delete(where)
            await page.wait_for_selector(".message.deleted")
            await double.stop()
            await page.wait_for_selector("#state >> visible=true")

    scene(DiscordDouble(), play, _PATIENT_S)


def test_the_page_keeps_what_came_before() -> None:
    """Whoever opens the page later sees what has come until then, in its order."""

    async def play(double: SlackDouble, client: httpx.AsyncClient) -> None:
        for text in ("one", "two", "three"):
            await client.post(double.address, json={"text": text})
        async with browsing(double.page) as watched:
            await watched.page.wait_for_selector(".message:nth-child(3)")
            assert await watched.page.locator(".message .body").all_inner_texts() == ["one", "two", "three"]

    scene(SlackDouble(), play, _PATIENT_S)
