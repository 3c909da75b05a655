"""What follows from an outcome: schedules, Retry-After, and the health of a webhook, on no clock but arguments."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.clock import Millis
from tocsin.engine.policy import RETRY_AFTER_MAX_S, Health, Verdict, decide, diagnose, retry_after_s
from tocsin.model import DeliveryState, Outcome, OutcomeKind
from tocsin.profiles import load

STANDARD = load("standard")
NOW = Millis(1_767_225_600_000)
OK = Outcome(kind=OutcomeKind.SUCCEEDED, status_code=200)
ERROR = Outcome(kind=OutcomeKind.HTTP_ERROR, status_code=500)
HOURS_MS = 3_600_000
DAY_MS = 24 * HOURS_MS


def after(outcome, tries, *, ended_at=NOW, scale=1.0, luck=0.0):
    return decide(STANDARD, outcome, tries=tries, ended_at=ended_at, scale=scale, luck=luck)


def asking(value, status=429):
    return Outcome(kind=OutcomeKind.HTTP_ERROR, status_code=status, headers=(("Retry-After", value),))


def test_the_standard_schedule_is_walked_to_its_end():
    """Nine retries over 75 h 35 min 5 s, each from the end of the attempt before it; the tenth failure is final."""
    at, gaps = NOW, []
    for tries in range(1, 10):
        verdict = after(ERROR, tries, ended_at=at)
        assert verdict.state is DeliveryState.RETRYING
        gaps.append((verdict.due_at - at) / 1000)
        at = verdict.due_at
    assert gaps == [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]
    assert after(ERROR, 10) == Verdict(DeliveryState.FAILED)


@given(st.integers(1, 9), st.floats(0, 1, exclude_max=True), st.floats(0.001, 10))
def test_a_retry_is_never_early_and_at_most_ten_percent_or_a_second_late(tries, luck, scale):
    """Whatever the luck and the scale, the delay lies between the schedule's and what the contract allows above it."""
    delay_ms = STANDARD.schedule_s[tries - 1] * scale * 1000
    late_ms = after(ERROR, tries, luck=luck, scale=scale).due_at - NOW - delay_ms
    assert 0 <= late_ms <= max(delay_ms * 0.1, 1000)


def test_success_ends_a_delivery_at_any_try():
    """A 2xx is final, also on the very last attempt."""
    assert after(OK, 1) == after(OK, 10) == Verdict(DeliveryState.SUCCEEDED)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0),
        ("7", 7),
        (" 120 ", 120),
        ("86400", 86_400),
        ("90000", RETRY_AFTER_MAX_S),
        ("1000000000000", RETRY_AFTER_MAX_S),
        ("9" * 400, RETRY_AFTER_MAX_S),
        (format_datetime(datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(seconds=90), usegmt=True), 90),
        ("Fri, 31 Dec 9999 23:59:59 GMT", RETRY_AFTER_MAX_S),
        (format_datetime(datetime.fromtimestamp(NOW / 1000, UTC) - timedelta(days=1), usegmt=True), None),
        ("-1", None),
        ("1e12", None),
        ("1.5", None),
        ("", None),
        ("soon", None),
        ("٣", None),
        ("Fri, 99 Zed 2026 25:61:61 GMT", None),
        ("0001-01-01", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_junk_is_ignored(value, wait_s):
    """Both forms of RFC 9110 are read, bounded at a day; negative, past and malformed ones count as absent."""
    assert retry_after_s(asking(value), NOW) == wait_s


@pytest.mark.parametrize(("status", "heard"), [(429, True), (503, True), (500, False), (302, False), (200, False)])
def test_retry_after_counts_on_429_and_503_only(status, heard):
    """Other statuses have no say in when they are asked again."""
    assert (retry_after_s(asking("60", status), NOW) is not None) is heard


def test_retry_after_lengthens_a_delay_and_never_shortens_one():
    """Five seconds become sixty; five minutes stay five minutes."""
    assert after(asking("60"), 1).due_at == NOW + 60_000
    assert after(asking("60"), 2).due_at == NOW + 300_000


def failing(outcome, verdict=Verdict(DeliveryState.RETRYING, NOW), *, since=NOW, warned=None, now=NOW, policy=None):  # noqa: B008
    return diagnose(policy or STANDARD.disable, outcome, verdict, failing_since=since, warned_at=warned, now=now)


def test_410_disables_at_once():
    """Gone means gone, at the first one."""
    gone = Outcome(kind=OutcomeKind.HTTP_ERROR, status_code=410)
    diagnosis = failing(gone)
    assert diagnosis.health is Health.DISABLE
    assert "410" in diagnosis.reason


def test_five_days_of_failures_disable_and_less_does_not():
    """The unbroken run counts, not the number of failures; a success anywhere ends it elsewhere."""
    assert failing(ERROR, now=Millis(NOW + 5 * DAY_MS - 1)).health is not Health.DISABLE
    assert failing(ERROR, now=Millis(NOW + 5 * DAY_MS)).health is Health.DISABLE
    assert failing(OK, now=Millis(NOW + 9 * DAY_MS)).health is Health.WELL


def test_each_warning_is_given_once():
    """A run that goes on is warned of at each mark of the profile, once, however many attempts fail between."""
    warned, marks = None, []
    for hour in range(1, 5 * 24):
        now = Millis(NOW + hour * HOURS_MS)
        if failing(ERROR, warned=warned, now=now).health is Health.WARN:
            warned = now
            marks.append(hour * 3600.0)
    assert marks == list(STANDARD.disable.warn_at_s)
    assert marks


def test_exhaustion_fails_the_webhook_where_the_dialect_says_so():
    """One delivery that failed for good stops the webhook in such a dialect, and only then."""
    policy = type(STANDARD.disable)(on_exhausted=True, failing_for_s=None, warn_at_s=(), gone_disables=False)
    assert failing(ERROR, policy=policy).health is Health.WELL
    assert failing(ERROR, Verdict(DeliveryState.FAILED), policy=policy).health is Health.FAIL
