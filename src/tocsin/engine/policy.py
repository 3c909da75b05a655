"""What follows from an attempt's outcome: pure, so that 75 hours of schedule are checked in a millisecond."""

from datetime import UTC
from email.utils import parsedate_to_datetime
from enum import StrEnum

import msgspec

from tocsin.channels.chat import Gone, Moved, Reading, Rejected, Sent, Stopped, Throttled
from tocsin.clock import Millis
from tocsin.model import DeliveryState, Outcome, OutcomeKind
from tocsin.profiles import DisablePolicy, Profile

RETRY_AFTER_MAX_S = 86_400.0  # CONTRACT: Retry-After can lengthen a delay up to 24 h
_RETRY_AFTER_STATUSES = frozenset({429, 503})
_JITTER = 0.05  # of the delay, always late, never early: half of the 10 % that the contract allows
_GONE = 410

# So often a delivery is sent again at once, past its schedule: groups move once, and chats that send each other to and
# fro are none.
AT_ONCE = 3


class Verdict(msgspec.Struct, frozen=True):
    """`due_at` is set exactly where `state` is `RETRYING`; `counts`: the attempt is one of the schedule's."""

    state: DeliveryState
    due_at: Millis | None = None
    counts: bool = True


_SUCCEEDED = Verdict(DeliveryState.SUCCEEDED)


def decide(profile: Profile, outcome: Outcome, *, tries: int, ended_at: Millis, scale: float, luck: float) -> Verdict:
    """What becomes of a delivery.

    Args:
        tries: scheduled attempts made, this one included: after `len(schedule) + 1` of them nothing is left.
        scale: multiplies every delay of the schedule (`TOCSIN_RETRY_SCALE`).
        luck: 0 ≤ luck < 1, random: spreads retries over the first half of the lateness that is allowed.
    """
    if outcome.ok:
        return _SUCCEEDED
    if tries > len(profile.schedule_s):
        return Verdict(DeliveryState.FAILED)
    delay_s = profile.schedule_s[tries - 1] * scale
    asked_s = retry_after_s(outcome, ended_at)
    if asked_s is not None:
        delay_s = max(delay_s, asked_s)
    return Verdict(DeliveryState.RETRYING, Millis(ended_at + -int(-delay_s * (1 + _JITTER * luck) * 1000 // 1)))


def decide_read(
    profile: Profile,
    reading: Reading | None,
    outcome: Outcome,
    *,
    tries: int,
    free: int,
    held_until: Millis,
    ended_at: Millis,
    scale: float,
    luck: float,
) -> Verdict:
    """What becomes of a chat's delivery, by what the chat's answer means.

    Args:
        free: attempts made before that did not count.
        held_until: when a service that throttles takes the next one.
    """
    match reading:
        case Sent():
            return _SUCCEEDED
        case Rejected():
            return Verdict(DeliveryState.FAILED)
        case Throttled():
            return Verdict(DeliveryState.RETRYING, held_until, counts=False)
        case Stopped():
            return Verdict(DeliveryState.RETRYING, ended_at, counts=False)  # held, until its webhook is enabled again
        case Moved() | Gone() if free < AT_ONCE:
            return Verdict(DeliveryState.RETRYING, ended_at, counts=False)
    return decide(profile, outcome, tries=tries, ended_at=ended_at, scale=scale, luck=luck)


def retry_after_s(outcome: Outcome, now: Millis) -> float | None:
    """The wait that the receiver asked for (RFC 9110 §10.2.3: seconds or a date), at most 24 h.

    None where the status is not 429 or 503, or the value is junk, negative or past.
    """
    if outcome.status_code not in _RETRY_AFTER_STATUSES:
        return None
    for name, value in outcome.headers:
        if name.lower() != "retry-after":
            continue
        text = value.strip()
        if text.isascii() and text.isdigit():
            # 10 digits are 317 years: longer ones need no arithmetic to be too long
            return RETRY_AFTER_MAX_S if len(text) > 10 else min(float(text), RETRY_AFTER_MAX_S)
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, IndexError, TypeError, OverflowError):
            return None
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        wait_s = at.timestamp() - now / 1000
        return min(wait_s, RETRY_AFTER_MAX_S) if wait_s > 0 else None
    return None


def succeeded_meanwhile(*, unbroken_since: Millis, first_attempt_at: Millis) -> bool:
    """Whether, since a delivery was first tried, another one to its webhook succeeded.

    Args:
        unbroken_since: from when on every attempt at the webhook has failed.
    """
    return unbroken_since > first_attempt_at


class Health(StrEnum):
    """What a run of failures means for the webhook."""

    WELL = "well"
    WARN = "warn"
    DISABLE = "disable"
    FAIL = "fail"  # unless another delivery succeeded meanwhile: see `succeeded_meanwhile`


class Diagnosis(msgspec.Struct, frozen=True):
    """`reason` is a sentence for people; `cause` one word for metrics."""

    health: Health
    reason: str = ""
    cause: str = ""


_WELL = Diagnosis(Health.WELL)


def diagnose(
    policy: DisablePolicy,
    outcome: Outcome,
    verdict: Verdict,
    *,
    failing_since: Millis | None,
    warned_at: Millis | None,
    now: Millis,
    reading: Reading | None = None,
) -> Diagnosis:
    """What a failed attempt means for its webhook.

    Args:
        failing_since: when the unbroken run of failures began, this one included.
        warned_at: when its owner was last warned of this run.
        reading: of a chat, what the answer means.
    """
    if outcome.ok:
        return _WELL
    if isinstance(reading, Stopped):
        return Diagnosis(Health.DISABLE, reading.reason, "stopped")
    if policy.gone_disables and outcome.status_code == _GONE and outcome.kind is OutcomeKind.HTTP_ERROR:
        return Diagnosis(Health.DISABLE, "the receiver answered 410 Gone: it wants no more deliveries", "gone")
    rejected = isinstance(reading, Rejected)  # it is this message that is at fault: others are taken
    if policy.on_exhausted and verdict.state is DeliveryState.FAILED and not rejected:
        return Diagnosis(
            Health.FAIL, f"a delivery failed after its last retry: {outcome.error or outcome.kind}", "exhausted"
        )
    if policy.failing_for_s is None or failing_since is None:
        return _WELL
    failing_s = (now - failing_since) / 1000
    if failing_s >= policy.failing_for_s:
        days = policy.failing_for_s / 86_400
        return Diagnosis(Health.DISABLE, f"every attempt has failed for {days:g} days", "failing")
    warned_s = -1.0 if warned_at is None else (warned_at - failing_since) / 1000
    if any(warned_s < at <= failing_s for at in policy.warn_at_s):
        return Diagnosis(Health.WARN, f"every attempt has failed for {failing_s / 3600:.0f} hours", "failing")
    return _WELL
