"""What mail servers answer when they do not take a mail (RFC 5321, with the enhanced codes of RFC 3463).

The texts are in the manner of Postfix, Gmail and Exchange, which say the same codes in other words.
"""

from collections.abc import Mapping
from typing import Literal

from tocsin.receiver.doubles.double import Failure

Stage = Literal["AUTH", "MAIL", "RCPT", "DATA"]  # DATA: when the whole mail was said


class MailFailure(Failure, frozen=True, kw_only=True):
    """`stage`: the command that is answered so. `status` 0: no answer, or the connection is cut."""

    stage: Stage


def _row(stage: Stage, text: str, meaning: str) -> MailFailure:
    return MailFailure(stage=stage, status=int(text[:3]), body=text, meaning=meaning)


CUT = "cut"
SILENT = "no_answer"

ERRORS: Mapping[str, MailFailure] = {
    "auth_failed": _row("AUTH", "535 5.7.8 Error: authentication failed", "the user or the password is wrong"),
    "auth_unavailable": _row("AUTH", "454 4.7.0 Temporary authentication failure", "logins cannot be checked now"),
    "auth_required": _row("MAIL", "530 5.7.0 Authentication Required", "nobody may send without logging in"),
    "closing": _row("MAIL", "421 4.3.2 Service not available, closing transmission channel", "the server goes down"),
    "too_many": _row("MAIL", "421 4.7.0 Too many messages, slow down", "too many mails in a time"),
    "no_storage": _row("MAIL", "452 4.3.1 Insufficient system storage", "the server's disk is full"),
    "sender_refused": _row("MAIL", "550 5.7.1 Sender address rejected: not owned by user", "not one's own sender"),
    "mailbox_busy": _row("RCPT", "450 4.2.1 The user is receiving mail too quickly", "the mailbox takes none now"),
    "greylisted": _row("RCPT", "451 4.7.1 Greylisting in action, please come back later", "it has to come again"),
    "mailbox_full": _row("RCPT", "452 4.2.2 The recipient's inbox is out of storage space", "the mailbox is full now"),
    "unknown_user": _row("RCPT", "550 5.1.1 The email account that you tried to reach does not exist", "no mailbox"),
    "mailbox_disabled": _row("RCPT", "550 5.2.1 The email account is disabled", "the mailbox is switched off"),
    "relay_denied": _row("RCPT", "554 5.7.1 Relay access denied", "the server takes no mail for others"),
    "over_quota": _row("RCPT", "552 5.2.2 Mailbox over quota", "the mailbox is full for good"),
    "local_error": _row("DATA", "451 4.3.0 Error: queue file write error", "something went wrong at the server"),
    "too_large": _row("DATA", "552 5.3.4 Message size exceeds fixed maximum message size", "the mail is too large"),
    "spam": _row("DATA", "554 5.7.1 Message rejected as spam", "its content is taken for spam"),
    "unauthenticated": _row(
        "DATA",
        "550 5.7.26 This mail is unauthenticated: SPF and DKIM did not pass",
        "the sender's domain vouches for none",
    ),
    "malformed": _row(
        "DATA", "550 5.7.1 Messages that are not RFC 5322 compliant are not accepted", "its head is not as it must be"
    ),
    SILENT: MailFailure(stage="MAIL", status=0, meaning="nothing is answered"),
    CUT: MailFailure(stage="DATA", status=0, meaning="the connection breaks when the mail was said"),
}
