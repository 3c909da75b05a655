"""A desk with a store, a clock that stands still, a mail server and the mailer between them.

Tests here are coroutines, run with `desk` open.
"""

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from tests.store.world import World
from tests.support.mail import MailHost
from tocsin.engine.cluster.tenure import Tenure
from tocsin.engine.mail.door import MailDoor
from tocsin.engine.mail.mailer import Mailer
from tocsin.engine.mail.server import MailServer
from tocsin.model import Account, Notice, NoticeKind, Webhook, WebhookState
from tocsin.security.links import Links
from tocsin.store.port import WebhookEdit
from tocsin.telemetry import Metrics

PATIENT_S = 30.0  # where nothing hangs, a busy machine may take its time
HASTY_S = 0.4  # where something hangs


class Desk:
    mailer: Mailer
    door: MailDoor
    tenure: Tenure
    account: Account

    def __init__(self, folder: Path, url: str) -> None:
        self.world = World("sqlite", folder)
        self.metrics = Metrics()
        self.url = url

    async def __aenter__(self) -> Self:
        await self.world.open()
        self.account = await self.world.account(name="Rocket Shoes", notify_email="ops@example.com")
        self.sit()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.mailer.stop()
        await self.door.close()
        await self.world.store.close()

    def sit(self, **server: Any) -> Mailer:
        """A mailer as after a start of the server, in the process that does what is done once."""
        store = self.world.store
        self.tenure = Tenure.of_all(1)
        self.door = MailDoor(MailServer(self.url, **{"timeout_s": PATIENT_S, **server}), self.world.clock)
        self.mailer = Mailer(
            door=self.door,
            notices=store.notices,
            accounts=store.accounts,
            webhooks=store.webhooks,
            tenure=self.tenure,
            clock=self.world.clock,
            id_source=self.world.ids,
            metrics=self.metrics,
            public_url="https://tocsin.example.com/",
            links=Links(bytes(32), "https://tocsin.example.com/"),
        )
        return self.mailer

    async def restart(self, **server: Any) -> None:
        """The process died and is there again."""
        await self.world.reopen()
        self.sit(**server)

    # --- what happens -----------------------------------------------------------------------------------------------

    async def stopped(
        self, webhook: Webhook | None = None, *, reason: str = "a delivery failed", account: Account | None = None
    ) -> Webhook:
        """A webhook that the system has just given up."""
        account = account or self.account
        webhook = webhook or await self.world.webhook(account, settings={"name": "Orders"})
        edit = WebhookEdit(state=WebhookState.FAILED, status_reason=reason, if_state=WebhookState.ACTIVE)
        notice = self.mailer.draft(webhook, NoticeKind.FAILED, reason, self.world.now)
        changed = await self.world.store.webhooks.change(account.id, webhook.id, edit, self.world.change(), notice)
        assert changed is not None
        return changed

    async def warned(self, webhook: Webhook | None = None) -> Webhook:
        webhook = webhook or await self.world.webhook(self.account, settings={"name": "Orders"})
        now = self.world.now
        notice = self.mailer.draft(webhook, NoticeKind.FAILING, "every attempt has failed for 24 hours", now)
        await self.world.store.journal.note_streak(webhook.id, now, now, notice)
        return webhook

    async def waiting(self) -> list[Notice]:
        """All that is still to be sent, whenever it is due."""
        return list(await self.world.store.notices.due(self.world.new_account().created_at + (1 << 40), 1_000))


@pytest.fixture
def host() -> Iterator[MailHost]:
    with MailHost() as host:
        yield host


@pytest.fixture
def desk(tmp_path: Path, host: MailHost) -> Desk:
    return Desk(tmp_path, host.url())


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    arguments = {name: pyfuncitem.funcargs[name] for name in pyfuncitem._fixtureinfo.argnames}

    async def run() -> None:
        desk = arguments.get("desk")
        if desk is None:
            await pyfuncitem.obj(**arguments)
        else:
            async with desk:
                await pyfuncitem.obj(**arguments)
        await asyncio.sleep(0.01)  # connections that were hung up are let go in the turns after

    asyncio.run(run())
    return True
