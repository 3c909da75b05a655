"""Makes the pictures of docs/pictures: ``python -m tests.docs.pictures``. They are looked at, not compared.

Real events go through a real server into the services' doubles, and Chromium draws what people would see there. It
needs a font with emoji in colour (Debian: `fonts-noto-color-emoji`).
"""

import asyncio
import re
import tempfile
from pathlib import Path

import httpx
from playwright.async_api import Browser, async_playwright

from tests.docs.markdown import ROOT
from tests.support.api import Shop
from tests.support.browser import FLAGS, chromium
from tests.support.server import Server
from tocsin.receiver.doubles import DiscordDouble, Double, MailDouble, SlackDouble, TelegramDouble

FOLDER = ROOT / "docs" / "pictures"
_PUBLIC = "https://tocsin.example.com"
_EVENTS = ("conversion.created", "fraud.detected", "budget.exhausted")
_BURST = 40
_WIDTHS = {"slack": 760, "telegram": 560, "discord": 640, "smtp": 900}
_CHANNELS = {"slack": "slack", "telegram": "telegram", "discord": "discord", "smtp": "email"}


def _send(shop: Shop, addresses: dict[str, str]) -> None:
    for service, address in addresses.items():
        shop.webhook(
            address, _EVENTS, channel=_CHANNELS[service], options={"digest": {"window_s": 3, "max": len(_EVENTS)}}
        )


def _publish(shop: Shop) -> None:
    for event in _EVENTS:
        shop.publish(event)


def _burst(shop: Shop) -> None:
    shop.publish_batch([shop.event("fraud.detected") for _ in range(_BURST)])


async def _confirm(server: Server, mailbox: MailDouble) -> None:
    """An address takes mail once its owner has pressed the button behind the link that is mailed first."""
    [asked] = await mailbox.wait_for(1, 30)
    link = re.search(rf"{_PUBLIC}(/links/[\w-]+)", asked.text)
    assert link is not None, asked.text
    async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
        (await client.post(link[1])).raise_for_status()


async def _draw(browser: Browser, double: Double) -> None:
    page = await browser.new_page(viewport={"width": _WIDTHS[double.service], "height": 900})
    await page.goto(double.page)
    await page.wait_for_selector(".message")
    await page.evaluate("document.getElementById('where').remove()")
    FOLDER.mkdir(exist_ok=True)
    file = FOLDER / f"{_CHANNELS[double.service]}.png"
    if isinstance(double, MailDouble):
        mail = page.locator(".message").nth(2)  # the first asks for a confirmation
        await mail.scroll_into_view_if_needed()
        await page.wait_for_timeout(1000)  # frames out of sight are not drawn
        await mail.screenshot(path=file)
    else:
        await page.evaluate("scrollTo(0, 0)")
        await page.screenshot(path=file, full_page=True)
    await page.close()


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            SlackDouble() as slack,
            TelegramDouble() as telegram,
            DiscordDouble() as discord,
            MailDouble() as mail,
        ):
            chats = (slack, telegram, discord)
            server = Server(Path(folder), smtp_url=mail.smtp_url, public_url=_PUBLIC)
            await asyncio.to_thread(server.start)
            try:
                shop = server.operator.shop("Rocket Shoes")
                addresses = {double.service: double.address for double in (*chats, mail)}
                await asyncio.to_thread(_send, shop, addresses)
                await _confirm(server, mail)
                await asyncio.to_thread(_publish, shop)
                for double in chats:
                    await double.wait_for(len(_EVENTS), 30)
                await asyncio.to_thread(_burst, shop)
                for double in chats:
                    await double.wait_for(len(_EVENTS) + 1, 30)
                await mail.wait_for(2 + len(_EVENTS), 30)
                await asyncio.sleep(10)  # the incident ends after a window without fraud
                async with async_playwright() as playwright:
                    browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
                    for double in (*chats, mail):
                        await _draw(browser, double)
                    await browser.close()
            finally:
                await asyncio.to_thread(server.kill9)


if __name__ == "__main__":
    asyncio.run(main())
