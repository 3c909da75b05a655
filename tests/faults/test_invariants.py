"""The judge of the fault drills, judged: evidence of each kind of loss or repetition is recognised as such."""

import inspect
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.faults import invariants
from tests.faults.evidence import Evidence, Fault, Receipt
from tests.faults.plans import Hook, Plan
from tests.support.cluster import THREE
from tests.support.receiver import Arrival
from tocsin.clock import rfc3339

T = 1_767_225_600.0
KILL = Fault(1, T + 10)
FREEZE = Fault(1, T + 10, T + 22)
API_KILL = Fault(0, T + 10)


def _arrival(at: float, id_: str = "evt_a", answered: int | None = 200, number: int = 0) -> Arrival:
    return Arrival(
        path="/standard-0",
        method="POST",
        headers={"webhook-id": id_},
        body=b'{"data":{"number":%d}}' % number,
        at=at,
        connection=1,
        nth_on_connection=1,
        verified=True,
        answered=answered,
        answered_at=at,
    )


def _attempt(n: int, at: float, outcome: str = "succeeded") -> dict:
    return {
        "n": n,
        "started_at": rfc3339(round(at * 1000)),
        "duration_ms": 0.0,
        "status_code": {"succeeded": 200, "http_error": 500}.get(outcome),
        "outcome": outcome,
    }


def _delivery(*attempts: dict, name: str = "a", hook: str = "wh_a", status: str = "succeeded") -> dict:
    return {
        "id": f"dlv_{name}_{hook}",
        "event_id": f"evt_{name}",
        "webhook_id": hook,
        "status": status,
        "attempts": list(attempts),
    }


# Six attempts, each as late as the schedule has it, and a tenth.
_SIX_AT = (0.0, 0.0023, 0.012, 0.048, 0.19, 0.75)
_BLOCKED = [_attempt(n, T + at, "blocked") for n, at in enumerate(_SIX_AT, start=1)]

# Event 0 is the first account's, event 1 the other's, which has a webhook that fails twice and one that is refused.
_PLAN = Plan(
    shape=THREE,
    failpoint="before_commit",
    seed=0,
    quiet=False,
    accounts=(0, 1),
    requests=((0,), (1,)),
    publishers=1,
    hooks=(Hook(0, "/standard-0"), Hook(1, "/cue"), Hook(1, "/refused", refused=True)),
    kills=("before_commit:1",),
    failures={(1, 1): 2},
    revive=True,
)


def _second_delivery(*at: float) -> dict:
    attempts = [_attempt(n, one, "succeeded" if n == len(at) else "http_error") for n, one in enumerate(at, start=1)]
    return _delivery(*attempts, name="b", hook="wh_b")


def _refused_delivery(*attempts: dict) -> dict:
    return _delivery(*attempts, name="b", hook="wh_c", status="failed")


_SECOND = _second_delivery(T, T + 0.01, T + 0.03)
_THIRD = _refused_delivery(*_BLOCKED)
_CUE = [_arrival(T + after, "evt_b", status, number=1) for after, status in ((0, 500), (0.01, 500), (0.03, 200))]


def _evidence(**differences: object) -> Evidence:
    """Two events of two accounts, in order; a worker was killed once, after all had ended."""
    good = Evidence(
        plan=_PLAN,
        faults=[KILL],
        receipts={0: [Receipt("evt_a", False, T - 0.1)], 1: [Receipt("evt_b", False, T - 0.1)]},
        hook_ids=["wh_a", "wh_b", "wh_c"],
        ledger=[[_arrival(T)], _CUE, []],
        elsewhere=[],
        events=[[{"id": "evt_a"}], [{"id": "evt_b"}]],
        deliveries=[[_delivery(_attempt(1, T))], [_SECOND, _THIRD]],
        strangers=[404, 404],
    )
    return replace(good, **differences)


def _first(*arrivals: Arrival, attempts: list[dict] | None = None, status: str = "succeeded") -> dict:
    """Evidence that differs in what is known of the first account's delivery."""
    spoilt: dict = {"ledger": [list(arrivals), _CUE, []]}
    if attempts is not None:
        spoilt["deliveries"] = [[_delivery(*attempts, status=status)], [_SECOND, _THIRD]]
    return spoilt


def _told(*receipts: Receipt) -> dict:
    return {"receipts": {0: list(receipts), 1: [Receipt("evt_b", False, T)]}}


def _others(*deliveries: dict) -> dict:
    return {"deliveries": [[_delivery(_attempt(1, T))], list(deliveries)]}


def test_evidence_in_order_passes() -> None:
    """The evidence that the other cases spoil is in order."""
    invariants.check_all(_evidence())


@pytest.mark.parametrize(
    "explained",
    [
        pytest.param(
            _first(_arrival(T + 9.9), _arrival(T + 11), attempts=[_attempt(1, T + 11)]),
            id="under way at a kill",
        ),
        pytest.param(
            _first(_arrival(T + 9.9), _arrival(T + 20), attempts=[_attempt(1, T + 20)]) | {"faults": [FREEZE]},
            id="under way at a freeze",
        ),
        pytest.param(
            _first(_arrival(T + 17), _arrival(T + 22.1), attempts=[_attempt(1, T + 17)]) | {"faults": [FREEZE]},
            id="sent by a process that woke",
        ),
    ],
)
def test_a_duplicate_that_a_fault_explains_passes(explained: dict) -> None:
    """An arrival just before a fault, whose outcome was never written, may come again."""
    invariants.check_all(_evidence(**explained))


_BROKEN = [
    (
        invariants.every_publisher_has_one_id,
        {
            "two ids for one event": _told(Receipt("evt_a", False, T), Receipt("evt_c", True, T)),
            "accepted twice": _told(Receipt("evt_a", False, T), Receipt("evt_a", False, T)),
        },
    ),
    (
        invariants.nothing_accepted_is_lost_and_nothing_is_made_twice,
        {
            "accepted but not listed": {"events": [[], [{"id": "evt_b"}]]},
            "a second event was made": {"events": [[{"id": "evt_a"}, {"id": "evt_c"}], [{"id": "evt_b"}]]},
            "never arrived": _first(),
            "never taken": _first(_arrival(T, answered=500)),
        },
    ),
    (
        invariants.every_delivery_has_one_final_state,
        {
            "no delivery": {"deliveries": [[], [_SECOND, _THIRD]]},
            "two deliveries": {"deliveries": [[_delivery(_attempt(1, T))] * 2, [_SECOND, _THIRD]]},
            "no final state": _first(_arrival(T), attempts=[_attempt(1, T)], status="sending"),
            "given up though taken": _first(_arrival(T), attempts=[_attempt(1, T)], status="failed"),
            "succeeded though refused": _others(_SECOND, _THIRD | {"status": "succeeded"}),
        },
    ),
    (invariants.every_signature_verifies, {"not verified": _first(replace(_arrival(T), verified=False))}),
    (invariants.ids_are_stable, {"another id": _first(_arrival(T), _arrival(T + 0.1, "evt_c"))}),
    (
        invariants.accounts_are_apart,
        {
            "another account's event arrived": {"ledger": [[_arrival(T)], [*_CUE, _arrival(T)], []]},
            "another account's event is listed": {"events": [[], [{"id": "evt_a"}, {"id": "evt_b"}]]},
            "another account's delivery is listed": {"deliveries": [[_delivery(_attempt(1, T)), _THIRD], [_SECOND]]},
            "sent to another account's webhook": {
                "deliveries": [[_delivery(_attempt(1, T), hook="wh_b")], [_SECOND, _THIRD]]
            },
            "another account's webhook is shown": {"strangers": [404, 200]},
            "arrived where nothing leads": {"elsewhere": [_arrival(T)]},
        },
    ),
    (
        invariants.no_refused_address_is_dialled,
        {
            "dialled": {"dialled": 1},
            "answered by someone": _others(
                _SECOND, _refused_delivery(*_BLOCKED[:5], _attempt(6, T + 0.75, "http_error"))
            ),
        },
    ),
    (
        invariants.log_and_ledger_agree,
        {
            "sent twice with no fault near": _first(_arrival(T), _arrival(T + 1)),
            "sent again after it was settled": _first(_arrival(T), _arrival(T + 11)),
            "sent twice before a kill": _first(
                _arrival(T + 9.8), _arrival(T + 9.9), _arrival(T + 11), attempts=[_attempt(1, T + 11)]
            ),
            "settled after it was sent again": _first(
                _arrival(T + 8.5), _arrival(T + 9.5), attempts=[_attempt(1, T + 9.5)]
            ),
            "the process that died sends nothing": _first(
                _arrival(T + 9.9), _arrival(T + 11), attempts=[_attempt(1, T + 11)]
            )
            | {"faults": [API_KILL]},
            "sent twice by a process that woke": _first(
                _arrival(T + 17), _arrival(T + 22.1), _arrival(T + 22.2), attempts=[_attempt(1, T + 17)]
            )
            | {"faults": [FREEZE]},
            "sent long after it woke": _first(_arrival(T + 17), _arrival(T + 30), attempts=[_attempt(1, T + 17)])
            | {"faults": [FREEZE]},
            "logged, but nothing arrived then": _first(_arrival(T), attempts=[_attempt(1, T + 3)]),
            "logged otherwise than answered": _first(_arrival(T), attempts=[_attempt(1, T, "http_error")]),
        },
    ),
    (
        invariants.attempts_keep_to_the_schedule,
        {
            "a retry was burnt": _first(_arrival(T), attempts=[_attempt(2, T)]),
            "tried after a success": _first(_arrival(T), attempts=[_attempt(1, T), _attempt(2, T + 1)]),
            "ended without a success": _first(_arrival(T), attempts=[_attempt(1, T, "http_error")]),
            "retried early": _others(_SECOND, _refused_delivery(*_BLOCKED[:5], _attempt(6, T + 0.3, "blocked"))),
            "given up too soon": _others(_SECOND, _refused_delivery(*_BLOCKED[:4])),
            "tried once too often": _others(_SECOND, _refused_delivery(*_BLOCKED, _attempt(7, T + 2, "blocked"))),
        },
    ),
    (invariants.work_resumes, {"rested": _first(_arrival(T + 26), attempts=[_attempt(1, T + 26)])}),
]


@pytest.mark.parametrize(
    ("invariant", "spoilt"),
    [
        pytest.param(invariant, spoilt, id=f"{invariant.__name__}: {name}")
        for invariant, cases in _BROKEN
        for name, spoilt in cases.items()
    ],
)
def test_broken_evidence_is_refused(invariant: Callable[[Evidence], None], spoilt: dict) -> None:
    """Evidence that breaks one promise does not pass."""
    with pytest.raises(AssertionError):
        invariant(_evidence(**spoilt))


def test_every_invariant_is_judged_and_asked() -> None:
    """What is broken here is what a drill is held to."""
    asked = set(re.findall(r"(\w+)\(evidence\)", inspect.getsource(invariants.check_all)))
    assert {invariant.__name__ for invariant, _ in _BROKEN} == asked


def test_a_drill_in_which_nothing_died_shows_nothing() -> None:
    """The failpoint must have been reached."""
    invariants.it_died_where_it_should(_evidence())
    with pytest.raises(AssertionError):
        invariants.it_died_where_it_should(_evidence(faults=[]))


def test_gaps_are_measured_from_the_fault_that_caused_them() -> None:
    """Work that rested over two deaths is measured from the second, where that came before the first's was due back."""
    late = _first(_arrival(T + 30), attempts=[_attempt(1, T + 30)])
    assert invariants.longest_gap_s(_evidence(**late)) == pytest.approx(20)
    assert invariants.longest_gap_s(_evidence(**late, faults=[KILL, Fault(2, T + 19)])) == pytest.approx(11)
    assert invariants.longest_gap_s(_evidence(**late, faults=[KILL, Fault(2, T + 29)])) == pytest.approx(20)
    assert invariants.longest_gap_s(_evidence()) == 0
    meanwhile = _told(Receipt("evt_a", False, T + 12))  # two seconds after the fault
    assert invariants.longest_gap_s(_evidence(**late | meanwhile)) == pytest.approx(18)
