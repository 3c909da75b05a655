"""Links for people who have no key: what each allows stands in it, signed; nothing is kept of them.

    base64url( purpose 1 | account 8 | subject 8 | until 6 | address digest 8 | mac 16 )

A link allows one thing with one webhook or digest, until its time is over; those about a webhook's address also only
while it has that very address. A page that a link opens does nothing yet: mail scanners follow links, so it takes a
button, which is a POST.
"""

import base64
import binascii
import hmac
import re
from enum import IntEnum

import msgspec

from tocsin.clock import Millis
from tocsin.model import AccountId, EventId, WebhookId

# Who does not read mail on a long weekend should still find the link alive.
CONFIRM_FOR_MS = 7 * 86_400_000
# As long as bodies are kept unless said otherwise: what a digest's page shows is gone then.
DIGEST_FOR_MS = 30 * 86_400_000
# A mail may be read years later, and its reader must be able to leave then too; the address is what bounds it.
_FOR_EVER = Millis((1 << 48) - 1)

PATH = "/links/"
_MAC = 16
_BODY = 31
_LENGTH = 63  # characters of a token: 47 bytes in base64url, without padding


# In a mail a link may be broken over lines anywhere (quoted-printable: an equals sign and a line break).
_BREAK = rb"(?:=\r\n)?"
_IN_TEXT = re.compile(
    rb"(%s)(?:%s[A-Za-z0-9_-]){%d}(?![A-Za-z0-9_-])" % (_BREAK.join(rb"%c" % c for c in PATH.encode()), _BREAK, _LENGTH)
)


class Purpose(IntEnum):
    CONFIRM = 1  # the address of a webhook
    LEAVE = 2  # no more mails of a webhook
    DIGEST = 3  # reading what a digest stands for


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What a link's token says, checked but for its time and its address."""

    purpose: Purpose
    account_id: AccountId
    subject: int  # the id of a webhook, or of a digest's event
    until: Millis
    address: bytes  # a digest of it; of nothing, where the link is about none


class Links:
    """Makes and reads tokens with a key derived from the vault's.

    Args:
        key: derived from the vault's, for links only (`Vault.derive`).
        public_url: where the server is reached from outside; None: links cannot be given, tokens can.
    """

    def __init__(self, key: bytes, public_url: str | None) -> None:
        self._key = key
        self._public_url = (public_url or "").rstrip("/")

    def confirm(self, account_id: AccountId, webhook_id: WebhookId, address: str, asked_at: Millis) -> str:
        """The token by which that address is confirmed."""
        return self._token(Purpose.CONFIRM, account_id, webhook_id, Millis(asked_at + CONFIRM_FOR_MS), address)

    def leave(self, account_id: AccountId, webhook_id: WebhookId, address: str) -> str:
        return self._token(Purpose.LEAVE, account_id, webhook_id, _FOR_EVER, address)

    def digest(self, account_id: AccountId, event_id: EventId, made_at: Millis) -> str:
        """The same for the same digest, which may be sent more than once."""
        return self._token(Purpose.DIGEST, account_id, event_id, Millis(made_at + DIGEST_FOR_MS), "")

    def url(self, token: str) -> str | None:
        """The page that a token opens; None where the server does not know its own address."""
        return f"{self._public_url}{PATH}{token}" if self._public_url else None

    def read(self, token: str, now: Millis) -> Grant | None:
        """What a token grants; None where it is none of ours, or its time is over."""
        if len(token) != _LENGTH:
            return None
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            return None
        body, mac = raw[:_BODY], raw[_BODY:]
        if not hmac.compare_digest(mac, self._mac(body)):
            return None
        until = Millis(int.from_bytes(body[17:23], "big"))
        if now >= until:
            return None
        return Grant(
            purpose=Purpose(body[0]),
            account_id=AccountId(int.from_bytes(body[1:9], "big")),
            subject=int.from_bytes(body[9:17], "big"),
            until=until,
            address=body[23:],
        )

    def is_of(self, grant: Grant, address: str) -> bool:
        """Whether it was made for that very address."""
        return hmac.compare_digest(grant.address, self._digest(address))

    def _token(self, purpose: Purpose, account_id: int, subject: int, until: Millis, address: str) -> str:
        body = b"".join(
            (
                purpose.to_bytes(1, "big"),
                account_id.to_bytes(8, "big"),
                subject.to_bytes(8, "big"),
                until.to_bytes(6, "big"),
                self._digest(address),
            )
        )
        return base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode()

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, b"link" + body, "sha256")[:_MAC]

    def _digest(self, address: str) -> bytes:
        """Keyed, so that nobody can try addresses against a link."""
        return hmac.digest(self._key, b"address" + address.encode(), "sha256")[:8]


def veiled(text: str) -> str:
    """Text with what a link grants taken out of it: for logs, that others may read."""
    return veiled_bytes(text.encode()).decode()


def veiled_bytes(text: bytes) -> bytes:
    return _IN_TEXT.sub(rb"\1***", text)
