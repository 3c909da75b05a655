"""Finds out what other processes have changed, whether news of it comes or not.

Every half second the accounts are asked for that were changed of late; of those that are known here in an older version
the views are thrown away, and their lanes given the settings that hold now. Where events are concerned, nothing depends
on it: what is decided by an old view is found out by the commit, and what was decided by a newer one by the claim.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Protocol

from tocsin.clock import Clock, Millis
from tocsin.engine.directory import Directory
from tocsin.errors import TocsinError
from tocsin.model import AccountId
from tocsin.store.port import Accounts

log = logging.getLogger(__name__)

_POLL_S = 0.5
_POLL_TIMEOUT_S = 2.0

# A change carries the time at which it was begun, and is seen once it is committed. So long may that take, with what
# clocks differ by.
_LOOK_BACK_MS = 15_000


class Settings(Protocol):
    """What lanes go by."""

    def account_changed(self, account_id: AccountId) -> None: ...


class Changes:
    def __init__(self, *, accounts: Accounts, directory: Directory, settings: Settings, clock: Clock) -> None:
        self._accounts = accounts
        self._directory = directory
        self._settings = settings
        self._clock = clock
        self._since = clock.now_ms()
        self._seen: Mapping[AccountId, int] = {}
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="changes")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def poll(self) -> None:
        """Raises `TocsinError` or `TimeoutError` where the store does not answer."""
        now = self._clock.now_ms()
        async with asyncio.timeout(_POLL_TIMEOUT_S):
            changed = await self._accounts.changed_since(Millis(self._since - _LOOK_BACK_MS))
        for account_id, version in changed.items():
            if self._seen.get(account_id) == version:
                continue
            view = self._directory.cached(account_id)
            if view is None or view.account.config_version < version:
                self._directory.forget(account_id)
            self._settings.account_changed(account_id)
        self._since, self._seen = now, changed

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_POLL_S)
            try:
                await self.poll()
            except (TocsinError, TimeoutError) as error:
                if not self._failing:
                    log.warning("changes_wait", extra={"reason": str(error) or "the store did not answer in time"})
                self._failing = True
            else:
                self._failing = False
