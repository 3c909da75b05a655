"""The judge of the fault drills, judged: evidence of each kind of loss or repetition is recognised as such."""

from dataclasses import replace

import pytest

from tests.faults import invariants
from tests.faults.drill import Evidence, plan
from tests.support.receiver import Arrival
from tocsin.clock import rfc3339

T = 1_767_225_600.0
KILL = T + 5


def _arrival(at: float, id_: str = "evt_a", answered: int | None = 200) -> Arrival:
    return Arrival(
        path="/webhook-0",
        method="POST",
        headers={"webhook-id": id_},
        body=b'{"data":{"number":0}}',
        at=at,
        connection=1,
        nth_on_connection=1,
        verified=True,
        answered=answered,
        answered_at=at,
    )


def _attempt(n: int, at: float, status: int = 200) -> dict:
    return {
        "n": n,
        "started_at": rfc3339(round(at * 1000)),
        "duration_ms": 1.0,
        "status_code": status,
        "outcome": "succeeded" if status == 200 else "http_error",
    }


def _delivery(*attempts: dict) -> dict:
    return {
        "id": "dlv_a",
        "event_id": "evt_a",
        "webhook_id": "wh_a",
        "status": "succeeded",
        "attempts": list(attempts),
    }


def _evidence(**differences: object) -> Evidence:
    """One event for one webhook, in order; the server was killed once, after it had succeeded."""
    one = replace(plan("before_settle", 0), requests=((0,),), webhooks=1, failures={}, failpoint="before_commit")
    good = Evidence(
        plan=replace(one, quiet=False),
        killed_at=[KILL],
        answers={0: [("evt_a", False)]},
        webhook_ids=["wh_a"],
        ledger=[[_arrival(T)]],
        events=[{"id": "evt_a"}],
        deliveries=[_delivery(_attempt(1, T))],
    )
    return replace(good, **differences)


def test_evidence_in_order_passes() -> None:
    """The evidence that the other cases spoil is in order."""
    invariants.check_all(_evidence())


def test_a_duplicate_that_a_kill_explains_passes() -> None:
    """An arrival just before the kill whose outcome was never written may come again."""
    again = _evidence(
        ledger=[[_arrival(KILL - 0.1), _arrival(KILL + 1)]], deliveries=[_delivery(_attempt(1, KILL + 1))]
    )
    invariants.check_all(again)


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param({"events": []}, id="accepted but not listed"),
        pytest.param({"events": [{"id": "evt_a"}, {"id": "evt_b"}]}, id="a second event was made"),
        pytest.param({"ledger": [[]]}, id="never arrived"),
        pytest.param({"ledger": [[_arrival(T, answered=500)]]}, id="never taken, but logged as success"),
        pytest.param({"answers": {0: [("evt_a", False), ("evt_b", True)]}}, id="two ids for one event"),
        pytest.param({"answers": {0: [("evt_a", False), ("evt_a", False)]}}, id="accepted twice"),
        pytest.param({"deliveries": []}, id="no delivery"),
        pytest.param({"deliveries": [_delivery(_attempt(1, T))] * 2}, id="two deliveries"),
        pytest.param({"deliveries": [_delivery(_attempt(1, T)) | {"status": "sending"}]}, id="no final state"),
        pytest.param({"ledger": [[replace(_arrival(T), verified=False)]]}, id="not verified"),
        pytest.param({"ledger": [[_arrival(T), _arrival(T + 0.1, "evt_b")]]}, id="another id"),
        pytest.param({"ledger": [[_arrival(T), _arrival(T + 1)]]}, id="sent twice with no kill near"),
        pytest.param({"ledger": [[_arrival(T), _arrival(KILL + 1)]]}, id="sent again after it was settled"),
        pytest.param(
            {"ledger": [[_arrival(KILL - 0.2), _arrival(KILL - 0.1), _arrival(KILL + 1)]]},
            id="sent twice before a kill",
        ),
        pytest.param({"deliveries": [_delivery(_attempt(1, T + 3))]}, id="logged, but nothing arrived then"),
        pytest.param({"deliveries": [_delivery(_attempt(2, T))]}, id="a retry was burnt"),
        pytest.param({"killed_at": []}, id="never killed"),
    ],
)
def test_broken_evidence_is_refused(spoilt: dict) -> None:
    """Evidence that breaks one promise does not pass."""
    with pytest.raises(AssertionError):
        invariants.check_all(_evidence(**spoilt))
