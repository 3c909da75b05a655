"""The two ways out, as one: a request is handed to the door that it is for."""

from collections.abc import Callable
from typing import Protocol

from tocsin.engine.mail.door import MailDoor
from tocsin.engine.sending.sender import Sender
from tocsin.model import Outcome, Request


class Door(Protocol):
    """Sends requests; their `done` is called on the event loop, exactly once, never from within `send`."""

    def send(self, request: Request, done: Callable[[Outcome], None]) -> None: ...

    async def close(self) -> None: ...


class Doors:
    """Mails go to the mail server, everything else into the network."""

    def __init__(self, sender: Sender, mail: MailDoor) -> None:
        self._sender = sender
        self._mail = mail

    def send(self, request: Request, done: Callable[[Outcome], None]) -> None:
        if request.method == "MAIL":
            self._mail.send(request, done)
        else:
            self._sender.send(request, done)

    async def close(self) -> None:
        await self._sender.close()
        await self._mail.close()
