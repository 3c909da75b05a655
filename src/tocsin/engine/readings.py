"""What a chat's answer means, for the log and for all that share its pace.

outcome ──▶ understand ──▶ outcome as it is kept, reading ──▶ policy
                                                  └──▶ heed: pauses that the service asks for
"""

import logging
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol
from urllib.parse import quote

from msgspec.structs import replace

from tocsin.channels.chat import Gone, Reading, Sent, Throttled
from tocsin.clock import Millis
from tocsin.engine.rendering import Target
from tocsin.model import MASK, Outcome, OutcomeKind, Request
from tocsin.telemetry import Metrics

log = logging.getLogger(__name__)

# The service said something: whatever else happened on the way there is no matter of the channel's.
_ANSWERS = frozenset(
    {OutcomeKind.SUCCEEDED, OutcomeKind.REDIRECTED, OutcomeKind.HTTP_ERROR, OutcomeKind.MAIL_ERROR},
)

# Shorter pieces of an address stand in texts by chance, and are no credentials.
_MIN_CREDENTIAL = 6


class Pacer(Protocol):
    def hold_paces(self, keys: Sequence[str], wait_s: float, now: Millis, *, refused: bool) -> Millis: ...


def understand(to: Target, request: Request, outcome: Outcome) -> tuple[Outcome, Reading | None]:
    """The outcome as the log keeps it, in the channel's words and without the credentials of the address; and what it
    means. None: nothing was answered, or its channel is no chat; the schedule decides.
    """
    chat = to.chat
    if to.postback is not None:
        outcome = _without_credentials(outcome, to.postback.address.url, to.postback.address.shown)
    if chat is None:
        return outcome, None
    reading = None
    if outcome.kind in _ANSWERS:
        try:
            reading = chat.channel.read(outcome, request, chat.address)
        except Exception:
            log.exception("reading_failed", extra={"webhook": to.webhook_text, "channel": chat.channel.name})
    if isinstance(reading, Sent):
        outcome = replace(outcome, kind=OutcomeKind.SUCCEEDED, error=None)
    elif reading is not None:
        kind = OutcomeKind.HTTP_ERROR if outcome.ok else outcome.kind
        outcome = replace(outcome, kind=kind, error=_reason(reading))
    return _without_credentials(outcome, chat.address.url, chat.address.shown), reading


def heed(to: Target, reading: Reading | None, pacer: Pacer, metrics: Metrics, now: Millis) -> Millis:
    """Pauses for as long as the service asks; until when."""
    if to.chat is None:
        return now
    keys = tuple(rule.key for rule in to.chat.address.paces)
    if isinstance(reading, Sent) and reading.hold_s is not None:
        return pacer.hold_paces(reading.keys or keys, reading.hold_s, now, refused=False)
    if isinstance(reading, Throttled):
        channel = to.chat.channel.name
        until = pacer.hold_paces(reading.keys or keys, reading.wait_s, now, refused=True)
        metrics.throttled_by(channel)
        log.info(
            "chat_throttled",
            extra={
                "webhook": to.webhook_text,
                "channel": channel,
                "wait_s": round((until - now) / 1000, 3),
                "reason": reading.reason,
            },
        )
        return until
    return now


def _reason(reading: Reading) -> str | None:
    if isinstance(reading, Sent):
        return None
    if isinstance(reading, Gone):
        return "the message that was to be changed is no longer there; it is sent as a new one"
    return reading.reason


def _without_credentials(outcome: Outcome, url: str, shown: str) -> Outcome:
    """Receivers, above all those that do not know the path, like to repeat it in their answers."""
    hidden = _credentials(url, shown)
    if hidden is None:
        return outcome
    found = hidden.search
    if not (
        found(outcome.error or "")
        or found(outcome.body.decode("latin-1"))
        or any(found(value) for _, value in outcome.headers)
    ):
        return outcome
    return replace(
        outcome,
        error=outcome.error and hidden.sub(MASK, outcome.error),
        body=hidden.sub(MASK, outcome.body.decode("latin-1")).encode("latin-1"),
        headers=tuple((name, hidden.sub(MASK, value)) for name, value in outcome.headers),
    )


@lru_cache(maxsize=1_024)
def _credentials(url: str, shown: str) -> re.Pattern[str] | None:
    """What finds those pieces of an address that are masked where it is shown, also percent-encoded."""
    if MASK not in shown:
        return None
    parts = re.fullmatch("(.+?)".join(re.escape(part) for part in shown.split(MASK)), url, re.DOTALL)
    pieces = parts.groups() if parts is not None else (url,)
    spellings = {spelling for piece in pieces for spelling in (piece, quote(piece, safe=""), quote(piece))}
    known = sorted((one for one in spellings if len(one) >= _MIN_CREDENTIAL), key=len, reverse=True)
    return re.compile("|".join(re.escape(one) for one in known)) if known else None
