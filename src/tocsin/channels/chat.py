"""The seam of a chat: an address is taken apart, a message rendered, an answer read."""

from typing import Protocol

import msgspec

from tocsin.channels.message import Message
from tocsin.model import Outcome, Request
from tocsin.shards import shard_of


class PaceRule(msgspec.Struct, frozen=True, kw_only=True):
    """How fast a service may be written to. Webhooks with the same `key` share it.

    Args:
        key: of whom the limit is (a token, a chat), without the credential itself: a digest of it.
        count: messages in any `window_s` seconds, looking back from each.
    """

    key: str
    count: int
    window_s: float


class ChatAddress(msgspec.Struct, frozen=True, kw_only=True):
    """A chat's address, taken apart by its channel.

    `shown` is `url` with its credentials masked; `dial` what the outbound guard has to judge, None for mail. Who shares
    any of `paces` shares the first one (but for what a service asks of one sender's machine).

    `webhook` and `leave` are the engine's to set: whose address it is ("wh_…"), and a page where whoever reads there
    can put an end to it.
    """

    url: str
    shown: str
    dial: str | None
    paces: tuple[PaceRule, ...] = ()
    webhook: str = ""
    leave: str | None = None

    @property
    def shard(self) -> int | None:
        """Where all webhooks stand that share its first pace, and so any; None: it shares none."""
        return shard_of(self.paces[0].key.encode()) if self.paces else None


# --- what a service's answer means --------------------------------------------------------------------------------


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """It is there. `message`: the service's name for it, by which it can be edited.

    `hold_s`: the service says that this was the last one it takes for so long, by these paces (none named: by all of
    the address).
    """

    message: str | None = None
    hold_s: float | None = None
    keys: tuple[str, ...] = ()


class Throttled(msgspec.Struct, frozen=True, kw_only=True):
    """Too fast: nothing is sent for so long by any webhook that shares one of these paces. Costs no retry."""

    wait_s: float
    keys: tuple[str, ...]
    reason: str


class Stopped(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing will ever arrive at this address as it is: the webhook is disabled, with this reason."""

    reason: str


class Rejected(msgspec.Struct, frozen=True, kw_only=True):
    """The service will not take this very message, however often it is tried; others it will."""

    reason: str


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """The chat has another address from now on; the message is sent there at once."""

    url: str
    reason: str


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """The message that was to be edited is no longer there: it is sent as a new one."""


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """It may be taken another time: the schedule decides when."""

    reason: str


Reading = Sent | Throttled | Stopped | Rejected | Moved | Gone | Retry


class Chat(Protocol):
    """A channel that takes messages for people. Objects of one are stateless."""

    @property
    def name(self) -> str: ...

    @property
    def hosts(self) -> frozenset[str]:
        """The service's own, which read the messages of no other channel."""
        ...

    @property
    def sample(self) -> str:
        """An address of nobody, to show what a message looks like in a chat that one has no webhook for."""
        ...

    @property
    def edits(self) -> bool:
        """Whether a message that was sent can be changed."""
        ...

    def parse(self, url: str) -> ChatAddress:
        """Takes an address as its owner gives it.

        Raises:
            Invalid: `url_refused`, pointer ``/url``, with the form that it should have.
        """
        ...

    def render(self, message: Message, to: ChatAddress, *, edit: str | None = None) -> Request:
        """The request that posts the message, within all of the service's limits.

        `timeout_s` is 10: chats answer in less than one second.

        Args:
            edit: the service's name for a message that this one takes the place of; only where `edits`.
        """
        ...

    def read(self, outcome: Outcome, request: Request, to: ChatAddress) -> Reading:
        """What an attempt's outcome means, with reasons in plain words and without credentials."""
        ...
