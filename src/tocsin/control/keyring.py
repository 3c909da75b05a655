"""Who a key belongs to, answered from memory.

A key is looked up in the store once and then remembered. What was revoked, in any process, is asked of the store
every half second, so that a revocation is in force everywhere within two seconds; while that cannot be asked,
nothing remembered is trusted.
"""

import asyncio
import logging
from collections import OrderedDict

from tocsin.clock import Clock, Millis
from tocsin.control.actor import Principal
from tocsin.errors import TocsinError
from tocsin.model import KeyId, Scope
from tocsin.security.keys import digest
from tocsin.store.port import Keys

log = logging.getLogger(__name__)

POLL_S = 0.5
_POLL_TIMEOUT_S = 1.0

# What is remembered counts for so long after the last answered poll: a poll, its time limit, and a little.
_TRUST_S = 1.75

# A revocation carries the time at which it was begun, by the clock of the process that made it, and is seen once it is
# committed. Looking back this far covers a slow commit and clocks that disagree.
_LOOK_BACK_MS = 60_000

# Uses are kept for operators to see which keys are dead; ten seconds are exact enough and cost one small transaction.
_NOTE_EVERY_S = 10.0

# About 400 bytes each.
_MAX_PRINCIPALS = 32_768


class Keyring:
    """The keys in use, the least recently looked up forgotten first."""

    def __init__(self, keys: Keys, clock: Clock) -> None:
        self._keys = keys
        self._clock = clock
        self._principals: OrderedDict[bytes, Principal] = OrderedDict()
        self._digests: dict[KeyId, bytes] = {}
        self._revoked: set[KeyId] = set()
        self._used: dict[KeyId, Millis] = {}
        self._trusted_until = float("-inf")
        self._noted_at = clock.monotonic_s()
        self._task: asyncio.Task[None] | None = None

    def known(self, key: str) -> Principal | None:
        """The principal, where it is at hand: the hot path's way, without waiting."""
        if self._clock.monotonic_s() > self._trusted_until:
            return None
        principal = self._principals.get(digest(key))
        if principal is not None and principal.key_id is not None:
            self._used[principal.key_id] = Millis(0)  # the instant is put in when it is noted
        return principal

    async def principal(self, key: str) -> Principal | None:
        """None where the key is unknown or revoked."""
        principal = self.known(key)
        if principal is not None:
            return principal
        found = await self._keys.by_digest(digest(key))
        # A revocation can be seen by a poll while that read is under way: the poll knows better.
        if found is None or found.revoked_at is not None or found.id in self._revoked:
            return None
        principal = Principal(
            key_id=found.id,
            account_id=found.account_id,
            scopes=found.scopes,
            may_publish=Scope.PUBLISH in found.scopes,
        )
        self._principals[found.digest] = principal
        self._digests[found.id] = found.digest
        self._used[found.id] = Millis(0)
        if len(self._principals) > _MAX_PRINCIPALS:
            _, oldest = self._principals.popitem(last=False)
            if oldest.key_id is not None:
                self._digests.pop(oldest.key_id, None)
        return principal

    def forget(self, key_id: KeyId) -> None:
        """This process revoked it: at once."""
        self._revoked.add(key_id)
        known = self._digests.pop(key_id, None)
        if known is not None:
            self._principals.pop(known, None)

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        await self.poll()
        self._task = asyncio.create_task(self._run(), name="keyring")

    async def close(self) -> None:
        """Ends the polling and notes the last uses. The store must still be open."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        await self._note_uses()

    async def poll(self) -> None:
        """Forgets what was revoked anywhere."""
        asked_at = self._clock.monotonic_s()
        since = Millis(self._clock.now_ms() - _LOOK_BACK_MS)
        try:
            async with asyncio.timeout(_POLL_TIMEOUT_S):
                revoked = await self._keys.revoked_since(since)
        except (TocsinError, TimeoutError) as error:
            log.warning("keys_unverified", extra={"reason": str(error) or "the store did not answer in time"})
            return
        self._revoked = set(revoked)
        for key_id in revoked:
            self.forget(key_id)
        self._trusted_until = asked_at + _TRUST_S

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self.poll()
            if self._clock.monotonic_s() - self._noted_at >= _NOTE_EVERY_S:
                await self._note_uses()

    async def _note_uses(self) -> None:
        now = self._clock.now_ms()
        self._noted_at = self._clock.monotonic_s()
        used, self._used = dict.fromkeys(self._used, now), {}
        if not used:
            return
        try:
            await self._keys.note_use(used)
        except TocsinError as error:
            log.warning("key_uses_lost", extra={"reason": error.detail})
