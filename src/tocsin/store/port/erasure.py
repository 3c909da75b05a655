"""What is kept of one visitor, taken out."""

from typing import Protocol

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId
from tocsin.store.port.settings import Change


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """How much was taken out."""

    events: int = 0  # their bodies, and whom they were about
    deliveries: int = 0  # that waited, and were cancelled
    attempts: int = 0  # what was kept of their requests and answers
    digests: int = 0  # whose summaries held something of the visitor: they lost all particulars
    activities: int = 0  # their data, and whom they were about
    remembered: int = 0  # what triggers remembered under the visitor's key, or with the visitor's name


class Erasure(Protocol):
    async def erase(self, account_id: AccountId, visitor_id: str, now: Millis, change: Change) -> Erased | None:
        """Takes out all that the account has of a visitor when it is called; None: there is no such account.

        Done in pieces; one that was interrupted is finished by another. The rows themselves stay until their time
        comes: that something happened, when, and under which external id. Of what triggers remember, keys
        ``visitor…:<id>`` are the visitor's own and go; where a value names the visitor, a field `visitor_id` becomes
        nil, and a map `visitor` with an `id` goes. A digest that the visitor's events were folded into loses all its
        particulars (`port.digests.NAMED`), and is sent without them where it still waits. What is being sent at that
        moment may still arrive; it is not tried again, and what it said is not kept. `change` is written at the end,
        with the counts as its detail.
        """
        ...
