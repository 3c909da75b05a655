"""The mail that asks whoever reads at an address whether they want a webhook's alerts: pure."""

from tocsin import ids
from tocsin.channels.email import METHOD, TIMEOUT_S
from tocsin.channels.letter import letter
from tocsin.channels.limits import clean, cut
from tocsin.channels.mail_address import write_mailto
from tocsin.channels.message import Line, Link, Message, Span, Tone
from tocsin.engine.mail.door import envelope
from tocsin.model import Account, Notice, Request, Webhook
from tocsin.security.links import CONFIRM_FOR_MS, Links

_NAME_LENGTH = 60  # UTF-16 units: enough to recognise somebody by, too few for an advertisement
_EVENTS = 10


def asks(notice: Notice, account: Account, webhook: Webhook, *, links: Links, sender: str, recipient: str) -> bytes:
    """The whole mail; the same bytes for the same arguments.

    Args:
        sender: and `recipient`: as `mail_address.on_the_wire` has them.
    """
    token = links.confirm(account.id, webhook.id, webhook.settings.url_shown, notice.at)
    url = links.url(token)
    owner = cut(clean(account.name), _NAME_LENGTH)
    days = CONFIRM_FOR_MS // 86_400_000
    how = "Press the button to agree." if url else "To agree, give whoever set it up the code below."
    stop = " Each alert has a link that stops them." if url else ""
    said = (
        f"{owner} wants to send alerts to this address. Nothing is sent until you agree.\n\n{how} It works for {days} "
        f"days.{stop}\n\nIf you know nothing of this, ignore this mail: without you, nothing more will come."
    )
    events = webhook.settings.events
    more = f" and {len(events) - _EVENTS} more" if len(events) > _EVENTS else ""
    kinds = "all" if "*" in events else ", ".join(events[:_EVENTS]) + more
    name = cut(clean(webhook.settings.name), _NAME_LENGTH)
    webhook_id = ids.show("wh_", webhook.id)
    message = Message(
        title="May we send you alerts?",
        icon="✉️",
        tone=Tone.INFO,
        at=notice.at,
        text=(Span(text=said),),
        lines=(
            Line(label="Account", value=owner),
            Line(label="Webhook", value=f"{name} ({webhook_id})" if name else webhook_id),
            Line(label="Events", value=kinds),
            Line(label="Code", value=token),
        ),
        link=None if url is None else Link(label="Yes, send them", url=url),
        footer="Tocsin",
    )
    request = Request(
        method=METHOD,
        url=write_mailto(recipient),
        headers=(
            ("Message-ID", ids.show("ntc_", notice.id)),
            ("Auto-Submitted", "auto-generated"),
            ("X-Auto-Response-Suppress", "All"),
        ),
        body=letter(message, to=recipient, subject=f"Confirm alerts of {owner} to this address"),
        timeout_s=TIMEOUT_S,
    )
    return envelope(request, sender, notice.at)
