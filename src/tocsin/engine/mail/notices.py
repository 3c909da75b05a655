"""What a notice says, as a mail: pure. In plain words: what happened, why, what becomes of events, how to set it right.

Everything that users, receivers or mail servers may have written is one line of printable text before it gets here into
a header, and escaped before it gets into HTML.
"""

from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from html import escape
from unicodedata import category
from zoneinfo import ZoneInfo

from tocsin import ids
from tocsin.clock import Millis
from tocsin.model import Account, Notice, NoticeKind, Webhook

_NAME_LENGTH = 60  # of a name in a subject or a sentence: what lists of mails show

_BECAME = {
    NoticeKind.FAILING: "is failing",
    NoticeKind.DISABLED: "was disabled",
    NoticeKind.FAILED: "has failed and was disabled",
}
_KEPT = (
    "Deliveries that were waiting are held, not lost: they go out once you enable the webhook, unless you choose to "
    "drop them. New events are kept for a replay, but none is sent to this webhook meanwhile."
)
_BY_HAND = "A delivery that has failed can be tried again by hand."
_MEND = "To set it right, make the receiver answer with a 2xx status in time, then enable the webhook:"

# Marks that turn the direction of the text around them, and could make a name look like another sentence.
_TURNING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def compose(
    notice: Notice,
    account: Account,
    webhook: Webhook,
    *,
    sender: str,
    recipient: str,
    public_url: str,
    disabled_after_s: float | None,
) -> EmailMessage:
    """The same bytes for the same arguments: a mail that had to be sent twice is recognised by its Message-ID.

    Args:
        sender: and `recipient`: as `mail_server.on_the_wire` has them.
        public_url: where the API is reached from outside; empty: unknown.
        disabled_after_s: how long a run of failures lasts before the profile disables a webhook; None: it does not.
    """
    name, webhook_id = line(webhook.settings.name), ids.show("wh_", webhook.id)
    called = f"webhook “{_cut(name)}”" if name else f"webhook {webhook_id}"
    owner = _cut(line(account.name))
    became = _BECAME[notice.kind]
    lead = f"The {called} of {owner} {became}."
    facts = [
        ("When", _when(notice.at, account.timezone)),
        ("Why", line(notice.reason)),
        ("Webhook", f"{name} ({webhook_id})" if name else webhook_id),
        ("Address", line(webhook.settings.url_shown)),
        ("Account", f"{line(account.name)} ({ids.show('acc_', account.id)})"),
    ]
    follows, commands = _advice(notice.kind, webhook_id, public_url, disabled_after_s)
    foot = "You get this mail because your address is the account's notify_email."
    link = f"{public_url}/v1/webhooks/{webhook_id}" if public_url else ""

    mail = EmailMessage(policy=SMTP if sender.isascii() and recipient.isascii() else SMTPUTF8)
    mail["From"] = _address("Tocsin", sender)
    mail["To"] = _address("", recipient)
    # What looks like an encoded word (RFC 2047) would be decoded here, line breaks and all, into another header.
    mail["Subject"] = f"{called[0].upper()}{called[1:]} of {owner} {became}".replace("=?", "= ?")
    mail["Date"] = format_datetime(datetime.fromtimestamp(notice.at // 1000, UTC))
    mail["Message-ID"] = f"<{ids.show('ntc_', notice.id)}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office notes in answer
    # Quoted-printable, so that no server on the way has to change a byte.
    mail.set_content(_text(lead, facts, follows, commands, link, foot), cte="quoted-printable")
    mail.add_alternative(_html(lead, facts, follows, commands, link, foot), subtype="html", cte="quoted-printable")
    mail.set_boundary(f"=_{ids.show('ntc_', notice.id)}")
    return mail


def _address(name: str, address: str) -> Address:
    local, _, domain = address.rpartition("@")
    return Address(name, local, domain)


def line(text: str) -> str:
    """One line of printable text, whatever it was."""
    return "".join(
        c for c in " ".join(text.split()) if category(c) not in ("Cc", "Cs", "Cn", "Co") and c not in _TURNING
    )


def _cut(text: str) -> str:
    return text if len(text) <= _NAME_LENGTH else f"{text[: _NAME_LENGTH - 1].rstrip()}…"


def _when(at: Millis, timezone: str) -> str:
    return f"{datetime.fromtimestamp(at / 1000, ZoneInfo(timezone)):%Y-%m-%d %H:%M} ({timezone})"


def _advice(
    kind: NoticeKind, webhook_id: str, public_url: str, disabled_after_s: float | None
) -> tuple[list[str], list[str]]:
    if kind is NoticeKind.FAILING:
        end = (
            ""
            if disabled_after_s is None
            else (f" After {disabled_after_s / 86_400:g} days without a single success the webhook is disabled.")
        )
        return [
            f"Each delivery is tried again on its schedule.{end}",
            "To set it right, make the receiver answer with a 2xx status in time. The first success ends this.",
        ], []
    kept = [f"{_KEPT} {_BY_HAND}" if kind is NoticeKind.FAILED else _KEPT]
    commands = [f"tocsin webhooks enable {webhook_id}"]
    if public_url:
        commands.append(f"POST {public_url}/v1/webhooks/{webhook_id}/enable")
    return [*kept, _MEND], commands


def _text(
    lead: str, facts: list[tuple[str, str]], follows: list[str], commands: list[str], link: str, foot: str
) -> str:
    parts = [lead, "\n".join(f"{name}: {value}" for name, value in facts), *follows]
    if commands:
        parts.append("\n".join(f"    {command}" for command in commands))
    if link:
        parts.append(f"The webhook, through the API: {link}")
    return "\n\n".join([*parts, f"-- \n{foot}"]) + "\n"


def _html(
    lead: str, facts: list[tuple[str, str]], follows: list[str], commands: list[str], link: str, foot: str
) -> str:
    """Inline styles, one column, a table for facts: what mail clients of all ages show alike."""
    rows = "".join(
        f'<tr><td style="padding:2px 16px 2px 0;color:#5b6270;vertical-align:top">{escape(name)}</td>'
        f'<td style="padding:2px 0;word-break:break-word">{escape(value)}</td></tr>\n'
        for name, value in facts
    )
    paragraphs = "".join(f"<p>{escape(text)}</p>\n" for text in follows)
    if commands:
        shown = "<br>\n".join(escape(command) for command in commands)
        paragraphs += f'<p style="font-family:monospace;font-size:13px;word-break:break-all">{shown}</p>\n'
    if link:
        paragraphs += f'<p><a href="{escape(link)}">The webhook, through the API</a></p>\n'
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"></head>\n'
        '<body style="margin:16px;max-width:600px;font-family:Arial,Helvetica,sans-serif;font-size:15px;'
        'line-height:1.5;color:#1f2430;background:#ffffff">\n'
        f'<p style="font-size:17px"><strong>{escape(lead)}</strong></p>\n'
        f'<table role="presentation" style="border-collapse:collapse;font-size:14px">\n{rows}</table>\n'
        f'{paragraphs}<p style="font-size:12px;color:#5b6270">{escape(foot)}</p>\n</body>\n</html>\n'
    )
