"""Erasure: what is kept of a visitor, taken out."""

from collections import Counter
from hashlib import blake2b

import msgspec

from tocsin.clock import Clock
from tocsin.control.actor import Actor
from tocsin.engine.ingest import KEPT_VISITOR_CHARS
from tocsin.errors import NotFound
from tocsin.model import AccountId
from tocsin.store.port import Erased, Erasure


class VisitorControl:
    def __init__(self, *, erasure: Erasure, clock: Clock) -> None:
        self._erasure = erasure
        self._clock = clock

    async def erase(self, actor: Actor, account_id: AccountId, visitor_id: str) -> Erased:
        """Takes out all that the account has of a visitor; a second time, what came since, and else nothing.

        Raises:
            NotFound: there is no such account (any more).
        """
        now = self._clock.now_ms()
        change = actor.change(now, "visitor.erased", subject(account_id, visitor_id))
        total: Counter[str] = Counter()
        for known_as in {visitor_id, visitor_id[:KEPT_VISITOR_CHARS]}:
            erased = await self._erasure.erase(account_id, known_as, now, change)
            if erased is None:
                raise NotFound("there is no such account")
            total.update(msgspec.structs.asdict(erased))
        return Erased(**total)


def subject(account_id: AccountId, visitor_id: str) -> str:
    """What the audit log calls a visitor: whoever knows the id can find the entry, and nobody can read the id in it."""
    return f"visitor:{blake2b(b'%d %s' % (account_id, visitor_id.encode()), digest_size=8).hexdigest()}"
