"""The door to the mail server: what the `Sender` is for HTTP, for alerts and for notices.

    send ──▶ envelope ──▶ a place in the queue ──▶ one of few kept connections ──▶ Outcome ──▶ done

What is rendered is whole but for what only the server knows: whom it is from, when it goes out, and the domain of its
Message-ID. These the door writes on it, like an envelope.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

from tocsin.channels.mail_address import read_mailto
from tocsin.clock import Clock, Millis
from tocsin.engine.mail.server import Answer, Fate, MailConnection, MailServer, MailTrouble
from tocsin.model import Outcome, OutcomeKind, Request

# Mail servers often let one client have few connections at once; with two, a slow mail does not hold up the others.
CONNECTIONS = 2
# Well below the five minutes that RFC 5321 §4.5.3.2.7 has servers wait; a burst's mails come closer together.
IDLE_S = 30.0
# Webhooks of this channel send one mail after the other, so more are waiting only where as many of them have something
# to say. Each is 100 KB at most.
MAX_WAITING = 1_000
_FAREWELL_S = 1.0  # at a stop, for taking leave of a server that answers

# Where an outcome has HTTP's headers, a mail's has the command that the server's reply was to.
REPLY_TO = "SMTP-Command"
_MAX_REPLY = 16 << 10  # as of any answer

Done = Callable[[Outcome], None]
_Ending = Answer | MailTrouble | None  # None: Tocsin stops


class MailDoor:
    """Hands mails in; made and used on one event loop.

    Args:
        server: None: none is set up, and nothing can be sent.
        connections: at once. Beyond, mails wait their turn, and their time limits with them.
        idle_s: how long a connection is kept that nothing is sent on.
    """

    def __init__(
        self, server: MailServer | None, clock: Clock, *, connections: int = CONNECTIONS, idle_s: float = IDLE_S
    ) -> None:
        self.server = server
        self._clock = clock
        self._connections = connections
        self._idle_s = idle_s
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Mail] = deque()
        self._idle: deque[asyncio.Future[_Mail | None]] = deque()  # workers with a connection and nothing to do
        self._workers: set[asyncio.Task[None]] = set()
        self._connected = 0
        self._sending = 0
        self._closed = False

    @property
    def in_flight(self) -> int:
        """Mails whose end is still to come."""
        return self._sending + len(self._waiting)

    def send(self, request: Request, done: Done) -> None:
        """Sends a request of the method ``MAIL``; `done` is called on the event loop with its outcome, exactly once,
        never from in here.
        """
        began_s = time.monotonic()

        def tell(ending: _Ending, peer: str | None) -> None:
            self._loop.call_soon(done, _outcome(ending, int((time.monotonic() - began_s) * 1e6), peer))

        if self._closed:
            tell(None, None)
            return
        if self.server is None:
            self._loop.call_soon(done, _unsendable("no mail server is set up; the operator names one, TOCSIN_SMTP_URL"))
            return
        if len(self._waiting) >= MAX_WAITING:
            self._loop.call_soon(done, _TOO_MANY)
            return
        try:
            recipient = read_mailto(request.url)
        except ValueError as error:
            self._loop.call_soon(done, _unsendable(f"the address is refused: {error}"))
            return
        mail = envelope(request, self.server.sender, self._clock.now_ms())
        self._take(_Mail(recipient, mail, tell, self._loop.time() + request.timeout_s))

    async def hand_in(self, recipient: str, mail: bytes) -> Answer:
        """Sends a mail that is whole, in its turn, however long that takes.

        Args:
            recipient: as `mail_address.on_the_wire` has it.

        Raises:
            MailTrouble: the server cannot be spoken with, or Tocsin stops.
        """
        ended: asyncio.Future[_Ending] = self._loop.create_future()

        def tell(ending: _Ending, peer: str | None) -> None:  # noqa: ARG001 - as its callers have it
            if not ended.done():
                ended.set_result(ending)

        if self.server is None or self._closed:
            raise MailTrouble("no mail server is set up" if self.server is None else "Tocsin stops")
        self._take(_Mail(recipient, mail, tell, None))
        ending = await ended
        if not isinstance(ending, Answer):
            raise ending or MailTrouble("Tocsin stops")
        return ending

    async def close(self) -> None:
        """Hangs up. What waits or is under way ends as `connection_lost`; the server may have taken the latter."""
        if self._closed:
            return
        self._closed = True
        while self._waiting:
            self._waiting.popleft().end(None)
        while self._idle:
            self._idle.popleft().set_result(None)
        if self._workers:
            await asyncio.wait(self._workers, timeout=_FAREWELL_S if not self._sending else 0)
            for worker in self._workers:
                worker.cancel()
            await asyncio.gather(*self._workers, return_exceptions=True)
        await asyncio.sleep(0)  # by now each `done` has been called

    # --- inside -----------------------------------------------------------------------------------------------------

    def _take(self, mail: "_Mail", *, first: bool = False) -> None:
        """Gives it to a connection that has nothing to do, else has it wait for one."""
        if self._idle:
            self._idle.popleft().set_result(mail)
            return
        (self._waiting.appendleft if first else self._waiting.append)(mail)
        if mail.deadline is not None:
            mail.expiry = self._loop.call_at(mail.deadline, self._expire, mail)
        if not first and len(self._workers) < self._connections:
            self._employ()

    def _employ(self) -> None:
        worker = self._loop.create_task(self._work(), name="mail")
        self._workers.add(worker)
        worker.add_done_callback(self._left)

    def _left(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if self._waiting and not self._workers:  # a mail came while the last one was taking leave of the server
            self._employ()

    def _expire(self, mail: "_Mail") -> None:
        if mail in self._waiting:
            self._waiting.remove(mail)
            mail.end(MailTrouble("other mails kept the mail server busy for too long", OutcomeKind.TIMEOUT))

    async def _work(self) -> None:
        """Mail after mail over one connection, until there is none for a while."""
        line = _Line()
        try:
            while (mail := await self._next(keep=line.open)) is not None:
                self._sending += 1
                try:
                    if not await self._hand_in(mail, line):
                        return
                finally:
                    self._sending -= 1
            await line.quit()
        finally:
            self._let_go(line)

    async def _next(self, *, keep: bool) -> "_Mail | None":
        if self._waiting:
            return self._waiting.popleft()
        if not keep or self._closed:
            return None
        idle: asyncio.Future[_Mail | None] = self._loop.create_future()
        self._idle.append(idle)
        done, _ = await asyncio.wait({idle}, timeout=self._idle_s)
        if done:
            return idle.result()
        self._idle.remove(idle)
        return None

    async def _hand_in(self, mail: "_Mail", line: "_Line") -> bool:
        """False: the mail is left to another connection, and this worker to end."""
        mail.under_way()
        try:
            async with asyncio.timeout_at(mail.deadline):
                kept = line.open
                if not kept:
                    await self._connect(line)
                answer = await line.send(mail)
                if kept and answer.unsaid:  # the server had let go of it meanwhile
                    await self._connect(line)
                    answer = await line.send(mail)
        except MailTrouble as trouble:
            if self._connected:
                # The server lets us have fewer connections than we would like: one of the others takes it.
                self._take(mail, first=True)
                return False
            mail.end(trouble)
        except TimeoutError:
            self._let_go(line)
            mail.end(MailTrouble("the mail server did not take it in time", OutcomeKind.TIMEOUT), line.peer)
        except BaseException:
            mail.end(None, line.peer)
            raise
        else:
            if not (answer.well and line.open):
                self._let_go(line)
            mail.end(answer, line.peer)
        return True

    async def _connect(self, line: "_Line") -> None:
        assert self.server is not None, "nothing is taken in without one"
        self._let_go(line)
        line.connection = await self.server.connect()
        self._connected += 1

    def _let_go(self, line: "_Line") -> None:
        if line.connection is not None:
            line.connection.drop()
            line.connection = None
            self._connected -= 1


class _Line:
    """One worker's connection, where it has one."""

    connection: MailConnection | None = None
    peer: str | None = None

    @property
    def open(self) -> bool:
        return self.connection is not None and self.connection.open

    async def send(self, mail: "_Mail") -> Answer:
        assert self.connection is not None, "it was just connected"
        self.peer = self.connection.peer
        return await self.connection.send(mail.recipient, mail.content)

    async def quit(self) -> None:
        if self.connection is not None:
            await self.connection.quit()


class _Mail:
    """One that is on its way, and whom to tell how it ended."""

    def __init__(
        self, recipient: str, content: bytes, tell: Callable[[_Ending, str | None], None], deadline: float | None
    ) -> None:
        self.recipient = recipient
        self.content = content
        self.deadline = deadline  # of the loop's time
        self.expiry: asyncio.TimerHandle | None = None  # while it waits
        self._tell = tell

    def under_way(self) -> None:
        if self.expiry is not None:
            self.expiry.cancel()
            self.expiry = None

    def end(self, ending: _Ending, peer: str | None = None) -> None:
        self.under_way()
        self._tell(ending, peer)


def envelope(request: Request, sender: str, now: Millis) -> bytes:
    """The whole mail, as it goes over the wire: what is rendered, with what only the server knows on top.

    The request's headers are the mail's own, and come first; its Message-ID lacks the domain, which is the sender's.
    """
    domain = sender.rpartition("@")[2]
    lines = [f"From: Tocsin <{sender}>", f"Date: {format_datetime(datetime.fromtimestamp(now // 1000, UTC))}"]
    for name, value in request.headers:
        lines.append(f"{name}: <{value}@{domain}>" if name == "Message-ID" else f"{name}: {value}")
    return "".join(f"{line}\r\n" for line in lines).encode() + request.body


def _outcome(ending: _Ending, duration_us: int, peer: str | None) -> Outcome:
    if ending is None:
        return Outcome(
            kind=OutcomeKind.CONNECTION_LOST,
            error="Tocsin stopped before the mail server answered.",
            duration_us=duration_us,
            peer=peer,
        )
    if isinstance(ending, Answer) and ending.fate is Fate.REFUSED and ending.reply is None:
        return _unsendable(ending.reason)
    reply = ending.reply
    if isinstance(ending, MailTrouble):
        kind, reason = ending.kind, str(ending)
    elif ending.fate is Fate.SENT:
        kind, reason = OutcomeKind.SUCCEEDED, ""
    else:
        kind = OutcomeKind.CONNECTION_LOST if reply is None else OutcomeKind.MAIL_ERROR
        reason = ending.reason
    text = b"" if reply is None else reply.text.encode()
    return Outcome(
        kind=kind,
        status_code=None if reply is None else reply.code,
        headers=() if reply is None else ((REPLY_TO, reply.command),),
        body=text[:_MAX_REPLY],
        body_truncated=len(text) > _MAX_REPLY,
        error=f"{reason[0].upper()}{reason[1:]}." if reason else None,
        duration_us=duration_us,
        peer=peer,
    )


def _unsendable(why: str) -> Outcome:
    return Outcome(kind=OutcomeKind.UNSENDABLE, error=f"Nothing was sent: {why}.")


_TOO_MANY = Outcome(kind=OutcomeKind.TIMEOUT, error=f"Nothing was sent: {MAX_WAITING} mails wait for the mail server.")
