"""Whether whoever reads at an e-mail address has agreed to get mails there: asked before the first, in bounds."""

from collections import OrderedDict, deque
from typing import NamedTuple

from tocsin.clock import Clock, Millis
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.health import Outbox
from tocsin.errors import Conflict, Fault, Invalid
from tocsin.model import AccountId, Notice, NoticeKind, Webhook, WebhookId, WebhookSettings, WebhookState

# What a webhook says of itself while its reader is to answer. With the answer it becomes active by itself.
UNCONFIRMED = "its address is not confirmed yet"
UNSUBSCRIBED = "its reader unsubscribed"
WAITS = frozenset({UNCONFIRMED, UNSUBSCRIBED})

# These mails go to people who have asked for nothing: no account may have many of them sent, nor one of them often.
_EVERY_MS = 60_000
_AN_HOUR = 20
_HOUR_MS = 3_600_000
_MAX_KNOWN = 4_096


class Consent:
    """Remembers whom it asked lately, in this process."""

    def __init__(self, outbox: Outbox, bell: Bell, clock: Clock) -> None:
        self._outbox = outbox
        self._bell = bell
        self._clock = clock
        self._asked: OrderedDict[AccountId, deque[tuple[Millis, WebhookId]]] = OrderedDict()

    def ask(self, webhook: Webhook, now: Millis) -> Notice:
        """The mail that asks, to be written with the change that needs it; `asked` once it was.

        Raises:
            Invalid: no mail server is set up.
            Conflict: `confirmation_paced`.
        """
        notice = self._outbox.draft(webhook, NoticeKind.CONFIRM, UNCONFIRMED, now)
        if notice is None:
            detail = "no mail server is set up; the operator names one in TOCSIN_SMTP_URL"
            raise Invalid(f"mails cannot be sent: {detail}", faults=[Fault("/channel", detail)])
        asked = self._asked.get(webhook.account_id, ())
        if any(who == webhook.id and now - at < _EVERY_MS for at, who in asked):
            raise Conflict(
                "its address was asked less than a minute ago; wait for the mail, look among the spam",
                code="confirmation_paced",
            )
        if sum(now - at < _HOUR_MS for at, _ in asked) >= _AN_HOUR:
            raise Conflict(
                f"the account had {_AN_HOUR} addresses asked within an hour; try again later", code="confirmation_paced"
            )
        return notice

    def asked(self, notice: Notice) -> None:
        """It was written."""
        asked = self._asked.setdefault(notice.account_id, deque(maxlen=_AN_HOUR))
        asked.append((notice.at, notice.webhook_id))
        self._asked.move_to_end(notice.account_id)
        if len(self._asked) > _MAX_KNOWN:
            self._asked.popitem(last=False)
        self._bell.notice_written()


class Turn(NamedTuple):
    """A state that a webhook gets, and why."""

    state: WebhookState
    reason: str | None


def turned(
    webhook: Webhook, settings: WebhookSettings, state: WebhookState | None, reason: str | None, *, asked: bool
) -> Turn | None:
    """What a change makes of a webhook's state; None: it stays as it is.

    Args:
        settings: as they are with the change.
        state: that was asked for.
        reason: of being disabled.
        asked: with this change the reader of a new address is.

    Raises:
        Conflict: `not_confirmed`: it would be active, and whoever reads at its address has not agreed.
    """
    waits = webhook.status_reason in WAITS
    if asked and ((state or webhook.state) is WebhookState.ACTIVE or (waits and state is None)):
        return Turn(WebhookState.DISABLED, UNCONFIRMED)
    if state is WebhookState.ACTIVE:
        check_confirmed(settings)
    if state is None or (state is webhook.state and not (waits and reason != webhook.status_reason)):
        return None
    return Turn(state, (reason or "disabled by its owner") if state is WebhookState.DISABLED else None)


def check_confirmed(settings: WebhookSettings) -> None:
    """Raises `Conflict` with `not_confirmed`."""
    if settings.unconfirmed:
        raise Conflict(
            "whoever reads at its address has not agreed yet; to have the mail sent again, confirm without a code",
            code="not_confirmed",
        )
