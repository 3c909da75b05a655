"""What becomes of deliveries to people: pure decisions, by examples and over all inputs."""

import itertools
from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from tocsin.clock import Millis
from tocsin.engine.gathering.quiet_hours import Quiet
from tocsin.engine.gathering.sorting import BEHIND_MS, EDIT_MS, NEVER, Digest, Plan, Queued, Rules, Standing, sort
from tocsin.model import DIGEST_TYPE, NOTICE_TYPE, AccountId, DeliveryId, EventId, WebhookId
from tocsin.store.port import Claimed, DigestKind

MINUTE = 60_000
CLICK, FRAUD, URGENT = "click.created", "fraud.detected", "budget.exhausted"


def at(text: str) -> Millis:
    return Millis(int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000))


NOON = at("2026-03-10T12:00")


def rules(**values) -> Rules:
    defaults = {
        "window_ms": MINUTE,
        "max": 2,
        "quiet": None,
        "urgent": lambda type_: type_ == URGENT,
        "fraud": lambda type_: type_ == FRAUD,
        "edits": False,
    }
    return Rules(**defaults | values)


FREE = Queued()


class Chat:
    """One webhook: it is given deliveries, and keeps what becomes of them."""

    def __init__(self, **values) -> None:
        self.rules = rules(**values)
        self.standing: Standing = NEVER
        self.now = NOON
        self.ids = itertools.count(1_000)
        self.known: dict[DeliveryId, Digest] = {}
        self.plan: Plan

    def claim(self, *types: str, digests=(), queued=FREE) -> Plan:
        events = [self.event(type_) for type_ in types]
        self.plan = sort(
            self.rules,
            self.standing,
            [*digests, *events],
            self.now,
            known=self.known,
            queued=queued,
            new_id=self.ids.__next__,
        )
        self.standing = self.plan.standing
        return self.plan

    def event(self, type_: str, **values) -> Claimed:
        id_ = next(self.ids)
        return Claimed(
            **{
                "id": DeliveryId(id_),
                "event_id": EventId(id_),
                "webhook_id": WebhookId(1),
                "account_id": AccountId(1),
                "type": type_,
                "timestamp": self.now,
                "data": b"{}",
                "attempts": 0,
                "tries": 0,
                "claim_count": 1,
            }
            | values
        )

    def due(self, digest: Digest) -> Claimed:
        """The digest as it is claimed once it is due."""
        return self.event(DIGEST_TYPE, id=digest.delivery_id, event_id=digest.event_id, tries=digest.tries)

    def late(self, **values) -> Claimed:
        """A summary that was closed before, and comes back."""
        late = digest(next(self.ids), **values)
        self.known[late.delivery_id] = late
        return self.due(late)


def digest(id_: int, **values) -> Digest:
    defaults = {
        "delivery_id": DeliveryId(id_),
        "event_id": EventId(id_),
        "kind": DigestKind.SUMMARY,
        "opened_at": NOON,
        "due_at": Millis(0),
    }
    return Digest(**defaults | values)


def kinds(plan: Plan) -> tuple[int, int, int, int]:
    """How many are sent on their own, sent as digests, counted, put off."""
    counted = sum(len(pile.events) + len(pile.digests) for pile in plan.piles)
    return len(plan.singles), len(plan.digests), counted, len(plan.put_off)


# --- windows ------------------------------------------------------------------------------------------------------


def test_the_first_are_sent_the_others_counted():
    """The first of a window go out at once, in their order; the others are due at its end, in one digest."""
    chat = Chat()
    plan = chat.claim(*[CLICK] * 5)
    assert kinds(plan) == (2, 0, 3, 0)
    assert [one.id for one in plan.singles] == sorted(one.id for one in plan.singles)
    assert chat.standing.summary is not None
    assert chat.standing.summary.due_at == chat.standing.ends_at == NOON + MINUTE
    chat.now = Millis(NOON + MINUTE - 1)
    before = chat.standing.summary
    assert kinds(chat.claim(CLICK, CLICK)) == (0, 0, 2, 0)
    assert chat.standing.summary == before
    assert chat.plan.piles[0].into == before.delivery_id


def test_a_window_begins_with_what_comes_after_the_last():
    """Windows are no grid: the next opens with the first delivery after the end, however much later."""
    chat = Chat()
    chat.claim(CLICK)
    chat.now = Millis(NOON + 5 * MINUTE + 17)
    assert kinds(chat.claim(CLICK, CLICK, CLICK)) == (2, 0, 1, 0)
    assert (chat.standing.opened_at, chat.standing.ends_at) == (chat.now, chat.now + MINUTE)


def test_a_summary_that_is_due_leaves_before_the_next_window_opens():
    """Claimed together, the summary is sent first and takes no place; the others find a new window."""
    chat = Chat()
    chat.claim(*[CLICK] * 3)
    summary = chat.standing.summary
    chat.now = Millis(NOON + MINUTE)
    plan = chat.claim(*[CLICK] * 3, digests=[chat.due(summary)])
    assert kinds(plan) == (2, 1, 1, 0)
    assert plan.digests[0][1] == summary
    assert chat.standing.summary.delivery_id != summary.delivery_id


def test_what_is_urgent_breaks_through():
    """Urgent types are sent whatever was sent before, and take nobody's place; so is a word of Tocsin's own."""
    chat = Chat(max=1)
    assert kinds(chat.claim(URGENT, CLICK, URGENT, CLICK, NOTICE_TYPE)) == (4, 0, 1, 0)
    assert chat.standing.sent == 1


def test_none_at_once():
    """With no places in a window all of it goes into its summary."""
    assert kinds(Chat(max=0).claim(CLICK, CLICK)) == (0, 0, 2, 0)


def test_a_retry_takes_a_place_too():
    """A single that failed and is due again is one more message of the window, or is counted."""
    chat = Chat(max=1)
    assert kinds(chat.claim(digests=[chat.event(CLICK, tries=1)])) == (1, 0, 0, 0)
    assert kinds(chat.claim(digests=[chat.event(CLICK, tries=1)])) == (0, 0, 1, 0)


def test_windows_made_shorter_end_earlier():
    """A window never lasts longer than its owner now wants windows to last."""
    chat = Chat(window_ms=60 * MINUTE)
    chat.claim(CLICK, CLICK)
    chat.rules = rules()
    chat.now = Millis(NOON + 30_000)
    assert kinds(chat.claim(CLICK)) == (0, 0, 1, 0)
    assert chat.standing.summary.due_at == NOON + MINUTE
    chat.now = Millis(NOON + MINUTE)
    assert kinds(chat.claim(CLICK)) == (1, 0, 0, 0)


def test_a_clock_that_was_set_back_opens_a_window():
    """A window that lies in the future does not hold deliveries until then."""
    chat = Chat(max=1)
    chat.claim(CLICK)
    chat.now = Millis(NOON - 24 * 60 * MINUTE)
    assert kinds(chat.claim(CLICK)) == (1, 0, 0, 0)


def test_what_has_not_left_yet_counts_in_the_next_window():
    """A chat that is being held does not get two windows' messages at once afterwards."""
    chat = Chat()
    assert kinds(chat.claim(CLICK, CLICK, queued=Queued(singles=1))) == (1, 0, 1, 0)
    summary = replace(chat.standing.summary, due_at=chat.now)
    chat.standing = replace(chat.standing, summary=summary)
    assert kinds(chat.claim(digests=[chat.due(summary)], queued=Queued(summaries=1))) == (0, 0, 0, 1)
    assert chat.standing.summary.due_at == chat.now + BEHIND_MS


# --- what failed --------------------------------------------------------------------------------------------------


def test_a_summary_that_failed_joins_the_open_one():
    """Of two summaries one is left, which has used as much of its schedule as the one that had used more."""
    chat = Chat()
    chat.claim(*[CLICK] * 3)
    retry_at = Millis(NOON + 300_000)
    plan = chat.claim(digests=[chat.late(tries=2, retry_at=retry_at)])
    assert kinds(plan) == (0, 0, 1, 0)
    assert (chat.standing.summary.tries, chat.standing.summary.retry_at) == (2, retry_at)
    assert chat.standing.summary.due_at == NOON + MINUTE
    chat.claim(digests=[chat.late(tries=1, retry_at=NOON)])
    assert (chat.standing.summary.tries, chat.standing.summary.retry_at) == (2, retry_at)


def test_two_that_failed_become_one():
    """Late summaries that are due together are sent as one."""
    chat = Chat()
    late = [chat.late(tries=1), chat.late(tries=3)]
    plan = chat.claim(digests=late)
    assert kinds(plan) == (0, 1, 1, 0)
    ((sent, facts),) = plan.digests
    assert sent.id == late[0].id
    assert facts.tries == 3
    assert [one.id for one in plan.piles[0].digests] == [late[1].id]


def test_one_that_found_nobody_to_join_waits_for_its_schedule():
    """It is open again, and takes what is counted meanwhile: then it is due at the window's end."""
    chat = Chat(max=0)
    retry_at = Millis(NOON + 300_000)
    assert kinds(chat.claim(digests=[chat.late(tries=1, retry_at=retry_at)])) == (0, 0, 0, 1)
    assert chat.standing.summary.due_at == retry_at
    chat.claim(CLICK)
    assert chat.standing.summary.due_at == NOON + MINUTE


def test_a_service_that_asked_for_a_pause_gets_it():
    """A summary is due no earlier than the service allows, whatever window ends."""
    chat = Chat(max=0)
    pause = Millis(NOON + 10 * MINUTE)
    chat.standing = Standing(opened_at=NOON, ends_at=Millis(NOON + MINUTE), summary=digest(1, not_before=pause))
    chat.claim(CLICK)
    assert chat.standing.summary.due_at == pause


# --- quiet hours --------------------------------------------------------------------------------------------------

NIGHT = Quiet(time(22), time(7), ZoneInfo("UTC"))


def test_quiet_hours_end_in_one_summary():
    """At night nothing is sent but what is urgent; in the morning one summary."""
    chat = Chat(quiet=NIGHT)
    chat.now = at("2026-03-10T22:00")
    assert kinds(chat.claim(CLICK, URGENT, FRAUD)) == (1, 0, 2, 0)
    morning = at("2026-03-11T07:00")
    for text in ("2026-03-10T23:59", "2026-03-11T00:00", "2026-03-11T06:59:59"):
        chat.now = at(text)
        assert kinds(chat.claim(CLICK)) == (0, 0, 1, 0)
        assert chat.standing.summary.due_at == morning
    chat.now = morning
    assert kinds(chat.claim(CLICK, digests=[chat.due(chat.standing.summary)])) == (1, 1, 0, 0)


def test_a_summary_that_comes_due_at_night_waits():
    """The window's end falls into quiet hours: its summary is due at their end, also where they were set only later."""
    chat = Chat(quiet=NIGHT)
    chat.now = at("2026-03-10T21:59:30")
    chat.claim(CLICK, CLICK, CLICK)
    assert chat.standing.summary.due_at == at("2026-03-11T07:00")
    other = Chat()
    other.now = at("2026-03-10T21:59:30")
    other.claim(CLICK, CLICK, CLICK)
    other.rules = rules(quiet=NIGHT)
    other.now = at("2026-03-10T22:00:30")
    assert kinds(other.claim(digests=[other.due(other.standing.summary)])) == (0, 0, 0, 1)
    assert other.standing.summary.due_at == at("2026-03-11T07:00")


@pytest.mark.parametrize(
    ("zone", "hours", "now", "until"),
    [
        ("Europe/Berlin", ("22:00", "07:00"), "2026-03-28T21:30", "2026-03-29T05:00"),  # the night is an hour shorter
        ("Europe/Berlin", ("22:00", "07:00"), "2026-10-24T20:00", "2026-10-25T06:00"),  # and longer
        ("Europe/Berlin", ("22:00", "02:30"), "2026-03-29T00:59", "2026-03-29T01:00"),  # 02:30 does not exist
        ("Europe/Berlin", ("02:30", "07:00"), "2026-03-29T01:00", "2026-03-29T05:00"),  # nor does the beginning
        ("Europe/Berlin", ("22:00", "02:30"), "2026-10-25T00:29", "2026-10-25T00:30"),  # 02:30 comes twice
        ("Europe/Berlin", ("22:00", "02:30"), "2026-10-25T01:10", None),  # the second 02:10 is not quiet again
        ("Europe/Berlin", ("02:30", "07:00"), "2026-10-25T01:10", "2026-10-25T06:00"),  # and here still is
        ("Europe/Berlin", ("02:10", "02:20"), "2026-03-29T01:00", None),  # between two times that do not exist
        ("America/New_York", ("22:00", "07:00"), "2026-03-08T06:30", "2026-03-08T11:00"),
        ("America/Havana", ("23:30", "00:30"), "2026-03-08T04:59", "2026-03-08T05:00"),  # midnight does not exist
        ("Asia/Kolkata", ("22:00", "07:00"), "2026-06-01T16:29", None),
        ("Asia/Kolkata", ("22:00", "07:00"), "2026-06-01T16:30", "2026-06-02T01:30"),
        ("Pacific/Apia", ("22:00", "07:00"), "2011-12-30T09:00", "2011-12-30T17:00"),  # 30 December was skipped
        ("Australia/Lord_Howe", ("01:45", "03:00"), "2026-04-04T15:00", "2026-04-04T16:30"),  # half an hour back
        ("UTC", ("09:00", "17:00"), "2026-06-01T16:59:59", "2026-06-01T17:00"),
        ("UTC", ("09:00", "17:00"), "2026-06-01T17:00", None),
        ("UTC", ("09:00", "17:00"), "2026-06-01T08:59:59", None),
    ],
)
def test_quiet_hours_follow_the_clocks(zone, hours, now, until):
    """They begin and end when the clocks of the zone first show it, or jump over it."""
    quiet = Quiet(time.fromisoformat(hours[0]), time.fromisoformat(hours[1]), ZoneInfo(zone))
    assert quiet.until(at(now)) == (None if until is None else at(until))


ZONES = ("UTC", "Europe/Berlin", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe", "Asia/Kathmandu")


@given(
    st.sampled_from(ZONES),
    st.times(),
    st.times(),
    st.integers(at("2011-12-01T00:00"), at("2031-01-01T00:00")),
)
def test_the_end_of_quiet_hours_is_outside_of_them(zone, from_, to, now):
    """An end lies ahead, less than two days, and is not quiet itself: nothing is put off for ever."""
    from_, to = from_.replace(second=0, microsecond=0), to.replace(second=0, microsecond=0)
    if from_ == to:
        return
    quiet = Quiet(from_, to, ZoneInfo(zone))
    until = quiet.until(Millis(now))
    if until is not None:
        assert now < until <= now + 49 * 3_600_000
        assert quiet.until(until) is None
        assert quiet.until(Millis(until - 1)) == until


# --- incidents ----------------------------------------------------------------------------------------------------


def test_fraud_beyond_the_window_is_an_incident():
    """Where messages can be edited, fraud that does not fit is one message, due at once; other news is counted."""
    chat = Chat(edits=True)
    plan = chat.claim(FRAUD, FRAUD, FRAUD, CLICK, FRAUD)
    assert kinds(plan) == (2, 0, 3, 0)
    incident, summary = chat.standing.incident, chat.standing.summary
    assert (incident.due_at, incident.closes_at) == (NOON, NOON + MINUTE)
    assert {pile.into: len(pile.events) for pile in plan.piles} == {incident.delivery_id: 2, summary.delivery_id: 1}


def test_an_incident_takes_all_fraud_while_it_is_open():
    """Also in a window that has places, and while its message is on its way; it is edited not sooner than allowed."""
    chat = Chat(edits=True)
    chat.claim(FRAUD, FRAUD, FRAUD)
    plan = chat.claim(digests=[chat.due(chat.standing.incident)])
    assert kinds(plan) == (0, 1, 0, 0)
    assert chat.standing.incident.sending
    chat.now = Millis(NOON + MINUTE - 1)
    assert kinds(chat.claim(FRAUD)) == (0, 0, 1, 0)
    told = replace(chat.standing.incident, sending=False, message="7", shown_at=chat.now, due_at=NOON + 2 * MINUTE)
    chat.standing = replace(chat.standing, incident=told)
    chat.now = Millis(NOON + MINUTE + 1_000)
    assert kinds(chat.claim(FRAUD, CLICK)) == (1, 0, 1, 0)
    assert chat.standing.incident.due_at == told.shown_at + EDIT_MS
    assert chat.standing.incident.closes_at == chat.now + MINUTE


def test_an_incident_closes_after_a_window_without_fraud():
    """Its last words are sent when it closes; fraud that comes then is news again."""
    chat = Chat(edits=True)
    chat.claim(FRAUD, FRAUD, FRAUD)
    chat.now = Millis(NOON + MINUTE)
    plan = chat.claim(FRAUD, digests=[chat.due(chat.standing.incident)])
    assert kinds(plan) == (1, 1, 0, 0)
    assert chat.standing.incident is None


def test_an_incident_that_was_never_posted_joins_the_morning_summary():
    """At night no new message is posted; one that is there is edited, which nobody hears."""
    chat = Chat(edits=True, quiet=NIGHT, max=0)
    chat.now = at("2026-03-10T21:59:59")
    chat.claim(FRAUD)
    incident = chat.standing.incident
    chat.now = at("2026-03-10T22:00")
    plan = chat.claim(FRAUD, digests=[chat.due(incident)])
    assert kinds(plan) == (0, 0, 2, 0)
    assert chat.standing.incident is None
    assert chat.standing.summary.due_at == at("2026-03-11T07:00")
    posted = replace(incident, message="7", closes_at=at("2026-03-10T22:01"))
    chat.standing = replace(chat.standing, incident=posted)
    assert kinds(chat.claim(FRAUD, digests=[chat.due(posted)])) == (0, 1, 1, 0)
    assert chat.standing.incident.sending


def test_last_words_that_were_not_sent():
    """They edit the message that is there; of one that was never posted they join the next incident."""
    chat = Chat(edits=True, max=0)
    over = {"kind": DigestKind.INCIDENT, "tries": 1}
    assert kinds(chat.claim(digests=[chat.late(**over)])) == (0, 1, 0, 0)
    chat.claim(FRAUD)
    assert kinds(chat.claim(digests=[chat.late(**over)])) == (0, 0, 1, 0)
    assert chat.standing.incident.tries == 1
    assert kinds(chat.claim(digests=[chat.late(**over, message="7")])) == (0, 1, 0, 0)


# --- over all inputs ----------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.tuples(
        st.integers(0, 90_000),  # ms that pass
        st.lists(st.sampled_from((CLICK, CLICK, FRAUD, URGENT)), max_size=8),
        st.booleans(),  # whether the digest that was sent last failed
    ),
    max_size=40,
)


@given(STEPS, st.integers(0, 3), st.booleans(), st.booleans())
def test_every_delivery_ends_once_and_nobody_is_flooded(steps, places, edits, sleeps):
    """Of any window at most `max` are sent that are not urgent; each delivery is sent or counted, once; and at most
    one summary waits.
    """
    chat = Chat(max=places, edits=edits, quiet=Quiet(time(12, 10), time(12, 20), ZoneInfo("UTC")) if sleeps else None)
    ended: list[int] = []
    given_out: list[int] = []
    sent_in: dict[Millis, int] = {}
    back: list[tuple[Claimed, Digest]] = []
    for passed, types, fails in steps:
        chat.now = Millis(chat.now + passed)
        waiting = [one for one in (chat.standing.summary, chat.standing.incident) if one is not None]
        due = [chat.due(one) for one in waiting if one.due_at <= chat.now and not one.sending]
        due += [one for one, _ in back]
        chat.known = {one.id: facts for one, facts in back}
        back = []
        plan = chat.claim(*types, digests=due)
        events = [one.id for pile in plan.piles for one in pile.events] + [one.id for one in plan.singles]
        digests = [one.id for one, _ in plan.digests] + [one.id for one in plan.put_off]
        digests += [one.id for pile in plan.piles for one in pile.digests]
        assert sorted(digests) == sorted({one.id for one in due})
        ended += events
        given_out.append(len(types))
        quiet = chat.rules.quiet_until(chat.now) is not None
        calm = [one for one in plan.singles if one.type != URGENT]
        assert not (quiet and calm)
        assert not (quiet and [one for one, facts in plan.digests if facts.message is None])
        opened_at = chat.standing.opened_at
        sent_in[opened_at] = sent_in.get(opened_at, 0) + len(calm)
        for one, facts in plan.digests:
            incident = chat.standing.incident
            if incident is not None and incident.delivery_id == one.id:
                told = replace(incident, sending=False, message="m", shown_at=chat.now, due_at=incident.closes_at)
                chat.standing = replace(chat.standing, incident=told)
            elif fails and facts.kind is DigestKind.SUMMARY:
                retry_at = Millis(chat.now + 30_000)
                back.append((one, replace(facts, tries=facts.tries + 1, retry_at=retry_at)))
    assert len(ended) == len(set(ended)) == sum(given_out)
    assert all(sent <= places for sent in sent_in.values())
    opened = sorted(sent_in)
    assert all(later - earlier >= MINUTE for earlier, later in itertools.pairwise(opened))
