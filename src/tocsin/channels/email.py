"""E-mail: each alert a mail of its own, to one address whose owner has agreed.

A mail's request has the method ``MAIL``. Its body is the mail but for what only the operator's mail server decides;
its headers stand before those of the body, where the Message-ID still lacks its domain (see `engine.mail.door`).
"""

import re

from tocsin.channels.chat import ChatAddress, Reading, Rejected, Retry, Sent, Stopped
from tocsin.channels.letter import letter
from tocsin.channels.mail_address import read_mailto, write_mailto
from tocsin.channels.message import Message
from tocsin.channels.replies import quoted
from tocsin.errors import url_refused
from tocsin.model import Outcome, OutcomeKind, Request

METHOD = "MAIL"
# A mail server answers within seconds, but may take its time over a mail: RFC 5321 §4.5.3.2.6 has clients wait ten
# minutes. What was not taken within one is tried again under the same Message-ID.
TIMEOUT_S = 60.0

_FORM = "write mailto:you@example.com, one address and nothing else"


class Email:
    """The channel `email`."""

    name = "email"
    hosts: frozenset[str] = frozenset()
    sample = "mailto:you@example.com"
    edits = False

    def parse(self, url: str) -> ChatAddress:
        try:
            address = write_mailto(read_mailto(url))
        except ValueError as error:
            raise url_refused(f"{error}; {_FORM}") from None
        return ChatAddress(url=address, shown=address, dial=None)

    def render(self, message: Message, to: ChatAddress, *, edit: str | None = None) -> Request:  # noqa: ARG002 - no edits
        headers = [
            # RFC 3834, and Microsoft's own: no out-of-office notes in answer.
            ("Auto-Submitted", "auto-generated"),
            ("X-Auto-Response-Suppress", "All"),
        ]
        if to.webhook:
            headers.append(("List-Id", f"<{to.webhook}.localhost>"))  # RFC 2919 §2: a list that no domain vouches for
        if message.id:
            headers.append(("Message-ID", ".".join(filter(None, (message.id, to.webhook)))))
        if to.leave is not None:
            # RFC 8058: mail programs show a button, and a POST is enough.
            headers += [("List-Unsubscribe", f"<{to.leave}>"), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")]
        return Request(
            method=METHOD,
            url=to.url,
            headers=tuple(headers),
            body=letter(message, to=read_mailto(to.url), leave=to.leave),
            timeout_s=TIMEOUT_S,
        )

    def read(self, outcome: Outcome, request: Request, to: ChatAddress) -> Reading:  # noqa: ARG002 - the seam's
        if outcome.ok:
            return Sent()
        code = outcome.status_code
        if outcome.kind is not OutcomeKind.MAIL_ERROR or code is None:
            return Retry(reason=outcome.error or "No answer came from the mail server.")
        text = outcome.body.decode(errors="replace")
        said = quoted(f"{code} {text}", hide=read_mailto(to.url))
        command = next((value for _, value in outcome.headers), "")
        return _judge(command, code, text, said)


# RFC 3463: the class of an enhanced status code, what it is about, and what of that.
_ENHANCED = re.compile(r"\b([245])\.(\d{1,3})\.(\d{1,3})\b")
# 5.1.x: the address. Not 5.1.7 and 5.1.8, the sender's; 5.1.9 is of no mail server's.
_NO_SUCH = {"1.0", "1.1", "1.2", "1.3", "1.4", "1.6", "1.10", "2.1"}
_SENDERS = {"1.7", "1.8"}
_FULL = "2.2"  # a mailbox, which is emptied some day
# Who logs in, and who may: RFC 4954 §6. What a server refuses so, its operator has to set right.
_OURS = frozenset({530, 534, 535, 538})
_UNKNOWN = frozenset({550, 551, 553, 556})  # RFC 5321 §4.2.3, RFC 7504: of a recipient
# Servers that give no enhanced code say it in words.
_RELAYING = re.compile(r"\brelay|\bauthenticat|\bnot (?:allowed|permitted) to send|\brcpthosts\b", re.IGNORECASE)


def _judge(command: str, code: int, text: str, said: str) -> Reading:
    """What a reply other than 2xx means: for this mail, this address, or nothing but our own server."""
    if code < 500 or code in _OURS or command not in ("RCPT", "DATA"):
        return Retry(reason=f"The mail server said {said}.")
    found = _ENHANCED.search(text)
    about = f"{found[2]}.{found[3]}" if found is not None and found[1] == "5" else ""
    if about in _NO_SUCH or (command == "RCPT" and not about and code in _UNKNOWN and not _RELAYING.search(text)):
        return Stopped(reason=f"The mail server says that this mailbox does not exist: {said}.")
    # Before the mail was seen, a security or policy reason is that ours may not send there.
    ours = command == "RCPT" and (about.startswith("7.") or _RELAYING.search(text) is not None)
    if ours or about == _FULL or about in _SENDERS:
        return Retry(reason=f"The mail server said {said}.")
    return Rejected(reason=f"The mail server refuses this mail: {said}.")
