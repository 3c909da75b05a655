"""What becomes of a digest after an attempt: incidents go on, summaries that failed stay one."""

from typing import Any

import pytest

from tocsin.channels.summary import Summary
from tocsin.clock import Millis
from tocsin.engine.dispatching.lanes import Lane
from tocsin.engine.gathering.gatherer import Gatherer
from tocsin.engine.gathering.sorting import EDIT_MS, Digest, Ending, Memory, Standing
from tocsin.model import DIGEST_TYPE, AccountId, DeliveryId, DeliveryState, EventId, WebhookId
from tocsin.store.port import Claimed, DigestKind

NOW = Millis(1_773_144_000_000)
CLOSES = Millis(NOW + 60_000)
RETRY = Millis(NOW + 300_000)
SENT = Ending(DeliveryState.SUCCEEDED, None, 1)
FAILED = Ending(DeliveryState.FAILED, None, 1)
FAILS = Ending(DeliveryState.RETRYING, RETRY, 1)
HELD = Ending(DeliveryState.RETRYING, RETRY, 0)  # by the service: it costs no retry

GATHERER = Gatherer(
    digests=None,  # type: ignore[arg-type]
    journal=None,  # type: ignore[arg-type]
    directory=None,  # type: ignore[arg-type]
    id_source=None,  # type: ignore[arg-type]
    clock=None,  # type: ignore[arg-type]
    metrics=None,  # type: ignore[arg-type]
)


def digest(id_: int, kind: DigestKind, **values: Any) -> Digest:
    return Digest(
        **{
            "delivery_id": DeliveryId(id_),
            "event_id": EventId(id_),
            "kind": kind,
            "opened_at": NOW,
            "due_at": NOW,
            "closes_at": CLOSES,
        }
        | values
    )


def claimed(id_: int, summary: Summary, **values: Any) -> Claimed:
    return Claimed(
        **{
            "id": DeliveryId(id_),
            "event_id": EventId(id_),
            "webhook_id": WebhookId(1),
            "account_id": AccountId(1),
            "type": DIGEST_TYPE,
            "timestamp": NOW,
            "data": summary.encoded(),
            "attempts": 0,
            "tries": 0,
            "claim_count": 1,
        }
        | values
    )


def lane(*open_: Digest, **summaries: Summary) -> Lane:
    """A lane with these open digests; `of_7` is what number 7 counts."""
    found = {one.kind: one for one in open_}
    made = Lane(WebhookId(1), AccountId(1))
    made.memory = Memory(
        Standing(
            opened_at=NOW,
            ends_at=CLOSES,
            summary=found.get(DigestKind.SUMMARY),
            incident=found.get(DigestKind.INCIDENT),
        ),
        {DeliveryId(int(name.removeprefix("of_"))): summary for name, summary in summaries.items()},
    )
    return made


# --- incidents ----------------------------------------------------------------------------------------------------


def incident(count: int = 9, **values: Any) -> tuple[Lane, Claimed]:
    """An incident under way that told of nine."""
    summary = Summary(kind="incident", count=9, closes_at=CLOSES)
    made = lane(
        digest(7, DigestKind.INCIDENT, sending=True, **values),
        of_7=Summary(kind="incident", count=count, closes_at=CLOSES),
    )
    assert made.memory is not None
    made.memory.shown[DeliveryId(7)] = 9
    return made, claimed(7, summary)


def test_an_incident_goes_on_until_it_closes():
    """Once told it waits: to be edited soon where there is more already, else to be closed; its retries begin anew."""
    for count, due_at in ((9, CLOSES), (12, NOW + EDIT_MS)):
        made, one = incident(count, tries=2)
        assert GATHERER.ended(made, one, SENT, "m7", NOW) == Ending(DeliveryState.PENDING, Millis(due_at), 0)
        standing = made.memory.standing.incident
        assert (standing.message, standing.shown_at, standing.due_at, standing.tries, standing.sending) == (
            "m7",
            NOW,
            due_at,
            0,
            False,
        )


def test_an_incident_that_is_told_while_more_is_counted():
    """What is being counted just then is told by the next edit; how it is called is not forgotten."""
    made, one = incident()
    made.memory.busy = True
    assert GATHERER.ended(made, one, SENT, "m7", NOW) == Ending(DeliveryState.PENDING, Millis(NOW + EDIT_MS), 0)
    assert [(id_, message) for id_, _, message, _ in made.memory.meanwhile] == [(7, "m7")]
    made.memory = None  # or nothing is known of the lane just then
    assert GATHERER.ended(made, one, SENT, "m7", NOW) == Ending(DeliveryState.PENDING, Millis(NOW + EDIT_MS), 0)


def test_an_incident_that_cannot_be_named_ends():
    """A service that does not say how it calls the message gets no edits, and no second message of the same burst."""
    made, one = incident()
    assert GATHERER.ended(made, one, SENT, None, NOW) == SENT
    assert made.memory.standing.incident is None


def test_the_last_words_on_an_incident_are_its_end():
    """After them it succeeds as every delivery does."""
    over = claimed(7, Summary(kind="incident", count=9, closes_at=CLOSES, over=True), message="m7")
    assert GATHERER.ended(lane(), over, SENT, "m7", NOW) == SENT


def test_an_incident_that_could_not_be_told_follows_its_schedule():
    """Fraud that is counted meanwhile brings it no earlier; one that failed for good takes no more."""
    made, one = incident(message="m7")
    assert GATHERER.ended(made, one, FAILS, None, NOW) == FAILS
    assert made.memory.standing.incident.not_before == RETRY
    made, one = incident()
    assert GATHERER.ended(made, one, FAILED, None, NOW) == FAILED
    assert made.memory.standing.incident is None


def test_an_incident_whose_message_is_gone_is_unposted_again():
    """The service says that the message is not there: the next one is new."""
    made, one = incident(message="m7")
    GATHERER.ended(made, one, FAILS, "", NOW)
    assert made.memory.standing.incident.message is None


# --- summaries ----------------------------------------------------------------------------------------------------


def summary(*open_: Digest, **values: Any) -> tuple[Lane, Claimed]:
    """A summary under way, which counts three."""
    made = lane(*open_)
    assert made.memory is not None
    late = digest(3, DigestKind.SUMMARY, **values)
    made.memory.late[DeliveryId(3)] = late
    return made, claimed(3, Summary(count=3), tries=late.tries)


def test_a_summary_that_failed_is_open_again():
    """It takes what is counted next, and remembers when its schedule wants it."""
    made, one = summary()
    assert GATHERER.ended(made, one, FAILS, None, NOW) == FAILS
    standing = made.memory.standing.summary
    assert (standing.delivery_id, standing.due_at, standing.retry_at, standing.tries) == (3, RETRY, RETRY, 1)
    assert made.memory.summaries[DeliveryId(3)].count == 3


@pytest.mark.parametrize("busy", [False, True])
def test_where_another_is_open_it_comes_back_at_once(busy: bool):  # noqa: FBT001 - a parameter
    """So that one is left; also where another may just be being opened."""
    made, one = summary(*([] if busy else [digest(4, DigestKind.SUMMARY)]))
    made.memory.busy = busy
    assert GATHERER.ended(made, one, FAILS, None, NOW) == Ending(DeliveryState.RETRYING, NOW, 1)
    assert made.memory.late[DeliveryId(3)].retry_at == RETRY


def test_a_try_at_a_windows_end_is_free():
    """Before its schedule says, a failure costs nothing, not even the last retry."""
    for ending in (Ending(DeliveryState.RETRYING, Millis(RETRY * 2), 4), Ending(DeliveryState.FAILED, None, 4)):
        made, one = summary(tries=3, retry_at=RETRY)
        assert GATHERER.ended(made, one, ending, None, NOW) == Ending(DeliveryState.RETRYING, RETRY, 3)
        assert made.memory.standing.summary.tries == 3


def test_a_try_by_its_schedule_counts():
    """From its time on, a failure is one more; the last one ends it."""
    made, one = summary(tries=3, retry_at=NOW)
    later = Ending(DeliveryState.RETRYING, Millis(RETRY * 2), 4)
    assert GATHERER.ended(made, one, later, None, NOW) == later
    assert made.memory.standing.summary.tries == 4
    made, one = summary(tries=3, retry_at=NOW)
    assert GATHERER.ended(made, one, FAILED, None, NOW) == FAILED
    assert made.memory.standing.summary is None


def test_a_pause_that_the_service_asks_for_is_kept():
    """No window's end brings the summary before it."""
    made, one = summary()
    assert GATHERER.ended(made, one, HELD, None, NOW) == HELD
    assert made.memory.standing.summary.not_before == RETRY


def test_what_is_no_digest_is_left_alone():
    """And so is a digest of which nothing is known any more."""
    made, one = summary()
    event = claimed(3, Summary(), type="click.created")
    assert GATHERER.ended(made, event, FAILS, None, NOW) == FAILS
    made.memory = None
    assert GATHERER.ended(made, one, FAILS, None, NOW) == FAILS
