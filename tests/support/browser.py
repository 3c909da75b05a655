"""The system's Chromium, for one test: what a page shows, and what it tried that it must not."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

# Without the ones about the network it looks for its maker's servers at each start.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class Watched:
    """A page, with what it did: its errors, and the dialogs and windows that it opened."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("dialog", self._dialog)
        page.on("popup", lambda _: self.dialogs.append("a window"))

    async def _dialog(self, dialog) -> None:
        self.dialogs.append(dialog.message)
        await dialog.dismiss()


def chromium() -> str:
    found = shutil.which("chromium")
    assert found is not None, "there is no chromium"
    return found


@asynccontextmanager
async def browsing(url: str, width: int = 1100, height: int = 900) -> AsyncIterator[Watched]:
    """Opens the address in a new browser."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            page = await browser.new_page(viewport={"width": width, "height": height})
            watched = Watched(page)
            await page.goto(url)
            yield watched
        finally:
            await browser.close()
