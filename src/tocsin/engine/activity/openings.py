"""Sees to it that every account has what triggers need of it before any activity: the day that will be summed up.

Done when an account is made or moves to another time zone, and at each start for those that lack it: made by an older
version, or when the process died in between.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

from tocsin.clock import Clock
from tocsin.engine.activity.activities import Activities
from tocsin.engine.activity.parts import Firing
from tocsin.errors import TocsinError, Unavailable
from tocsin.ids import show
from tocsin.model import Account
from tocsin.profiles import Profile
from tocsin.profiles import load as load_profile
from tocsin.profiles import names as profile_names
from tocsin.store.port import Accounts, Page, TriggerAsk, Triggers
from tocsin.triggers import rules
from tocsin.triggers.rules import Opening

log = logging.getLogger(__name__)

_ACCOUNTS = 200  # looked at together: a few milliseconds, between which others get their turn
_RETRY_S = 5.0


class Openings:
    def __init__(
        self,
        *,
        accounts: Accounts,
        triggers: Triggers,
        activities: Activities,
        firing: Callable[[Profile], Firing],
        clock: Clock,
    ) -> None:
        self._accounts = accounts
        self._triggers = triggers
        self._activities = activities
        self._firing = firing
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Looks through all accounts, in the background."""
        self._task = asyncio.create_task(self._open_all(), name="openings")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def settled(self) -> None:
        """Once all accounts were looked through."""
        if self._task is not None:
            await self._task

    async def open(self, account: Account) -> None:
        """Never fails: the account stands, and what is missing is made up for."""
        for opening in self._of(account):
            await self._open(account, opening)

    def _of(self, account: Account) -> Iterable[Opening]:
        if account.profile not in profile_names():
            return ()
        wanted = self._firing(load_profile(account.profile)).wanted
        return [opening for opening in rules.OPENINGS if opening.wanted in wanted]

    async def _open(self, account: Account, opening: Opening) -> None:
        try:
            await self._activities.configure(account.id, lambda ctx: opening.rule(ctx, self._clock.now_ms()))
        except TocsinError as error:
            log.warning("opening_failed", extra={"account": show("acc_", account.id), "reason": error.detail})

    async def _open_all(self) -> None:
        before: int | None = None
        while True:
            try:
                page = await self._accounts.list(Page(limit=_ACCOUNTS, before=before))
                for account, opening in await self._lacking(page):
                    await self._open(account, opening)
            except Unavailable as error:
                log.warning("timers_wait", extra={"reason": error.detail})
                await asyncio.sleep(_RETRY_S)
                continue
            if len(page) <= _ACCOUNTS:
                return
            before = page[_ACCOUNTS - 1].id

    async def _lacking(self, page: Sequence[Account]) -> Sequence[tuple[Account, Opening]]:
        pairs = [(account, opening) for account in page for opening in self._of(account)]
        asks = [TriggerAsk(account_id=account.id, keys=frozenset((opening.key,))) for account, opening in pairs]
        reads = await self._triggers.read(asks, self._clock.now_ms()) if asks else ()
        return [
            pair
            for pair, read in zip(pairs, reads, strict=True)
            if read is not None and read.values[pair[1].key] is None
        ]
