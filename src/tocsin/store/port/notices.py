"""E-mails that are still to be sent."""

from collections.abc import Sequence
from typing import Protocol

from tocsin.clock import Millis
from tocsin.model import Notice


class Notices(Protocol):
    """E-mails to be sent: at most one for each webhook, the newest word on it. They are written with the change that
    they tell of (`Webhooks.change`, `Journal.note_streak`), due at once; a warning never takes the place of the news
    that the webhook was stopped.
    """

    async def due(self, now: Millis, limit: int) -> Sequence[Notice]:
        """The longest due first."""
        ...

    async def next_due(self) -> Millis | None:
        """When the first is due; None where there is none."""
        ...

    async def postpone(self, notice: Notice, until: Millis) -> None:
        """Has it tried again then, with one more to its `tries`. Nothing, where a newer one took its place."""
        ...

    async def remove(self, notice: Notice) -> None:
        """Forgets it: it was sent, or never will be. Nothing, where a newer one took its place."""
        ...
