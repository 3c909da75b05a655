"""What a double has been sent: messages as they stand now, with what they were, and requests that it refused."""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from tocsin.clock import Millis, rfc3339
from tocsin.receiver.doubles.display import Block, as_text, links_of, mentions_of

KEPT = 500  # messages; the largest that a service takes is some 10 kB, a mail some 100
_KEPT_BYTES = 64 << 20


class Raw(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came. Of a mail, `method` is ``DATA``, `path` its recipient, and `headers` its envelope."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """What a message was before it was changed."""

    at: Millis  # of the change
    text: str


class Shown(msgspec.Struct, kw_only=True):
    """A message as people see it now. `text`: what they read, without any styling. `mentions`: whom it calls.
    `chat`: where it was posted.
    """

    id: str
    at: Millis
    chat: str
    blocks: tuple[Block, ...]
    raw: Raw
    sender: str = ""
    edits: tuple[Edit, ...] = ()
    deleted: bool = False
    revision: int = 0

    @property
    def text(self) -> str:
        return as_text(self.blocks)

    @property
    def mentions(self) -> tuple[str, ...]:
        return mentions_of(self.blocks)

    @property
    def links(self) -> tuple[str, ...]:
        return links_of(self.blocks)

    def shown(self) -> dict[str, Any]:
        return {
            "key": f"{self.chat} {self.id}",
            "id": self.id,
            "at": rfc3339(self.at),
            "chat": self.chat,
            "sender": self.sender,
            "text": self.text,
            "mentions": list(self.mentions),
            "links": list(self.links),
            "edited": bool(self.edits),
            "edits": [{"at": rfc3339(edit.at), "text": edit.text} for edit in self.edits],
            "deleted": self.deleted,
            "blocks": msgspec.to_builtins(self.blocks),
        }


class Refused(msgspec.Struct, kw_only=True):
    """A request that was not taken. `name`: of the error (see each double's `ERRORS`); `why`: in plain words, which the
    service itself may not have told; `body`: what it was answered.
    """

    at: Millis
    status: int
    name: str
    why: str
    body: str
    raw: Raw
    revision: int = 0

    def shown(self) -> dict[str, Any]:
        return {
            "refused": self.name,
            "at": rfc3339(self.at),
            "status": self.status,
            "why": self.why,
            "answer": self.body,
        }


class History:
    """Keeps the last messages and refusals, and tells whoever asked of each that is new or has changed."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self._entries: deque[Shown | Refused] = deque()
        self._bytes = 0
        self._revision = 0
        self._listeners: set[Callable[[Any], None]] = set()

    def __iter__(self) -> Iterator[Shown | Refused]:
        return iter(tuple(self._entries))

    def add(self, entry: Shown | Refused) -> None:
        self._entries.append(entry)
        self._bytes += len(entry.raw.body)
        while len(self._entries) > self.kept or (self._bytes > _KEPT_BYTES and len(self._entries) > 1):
            self._bytes -= len(self._entries.popleft().raw.body)
        self._tell(entry)

    def edit(self, message: Shown, *, at: Millis, blocks: tuple[Block, ...], raw: Raw) -> None:
        message.edits = (*message.edits, Edit(at=at, text=message.text))
        self._bytes += len(raw.body) - len(message.raw.body)
        message.blocks, message.raw = blocks, raw
        self._tell(message)

    def delete(self, message: Shown) -> None:
        message.deleted = True
        self._tell(message)

    def since(self, revision: int) -> list[Shown | Refused]:
        """Those that are new or have changed after that revision, the longest unchanged first."""
        return sorted((one for one in self._entries if one.revision > revision), key=lambda one: one.revision)

    def listen(self, listener: Callable[[Any], None]) -> Callable[[], None]:
        """Calls `listener` with each entry that is new or has changed, until the answer is called."""
        self._listeners.add(listener)
        return lambda: self._listeners.discard(listener)

    def _tell(self, entry: Shown | Refused) -> None:
        self._revision += 1
        entry.revision = self._revision
        for listener in tuple(self._listeners):
            listener(entry)
