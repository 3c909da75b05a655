"""Deciding one activity or timer: the rules in their order, all of them or none."""

import zoneinfo
from typing import Any

import msgspec
import pytest

from tocsin.clock import Millis
from tocsin.errors import Invalid
from tocsin.triggers import rules
from tocsin.triggers.activity import Activity, ActivityId, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.decide import decide, tick
from tocsin.triggers.occurrences import Judgement
from tocsin.triggers.settings import TriggerSettings
from tocsin.triggers.state import State, Unread

AT = Millis(1_767_225_600_000)


class Count(msgspec.Struct, frozen=True):
    n: int = 0


def _context() -> Context:
    return Context(State(), TriggerSettings(), zoneinfo.ZoneInfo("UTC"))


def _click(**data: Any) -> Activity:
    return Activity(id=ActivityId(1), kind=Kind.CLICK, at=AT, accepted_at=AT, external_id=None, data=data)


def _count(ctx: Context, activity: Activity) -> None:
    ctx.state.put("count", Count((ctx.state.get("count", Count) or Count()).n + 1))


def _judge(ctx: Context, activity: Activity) -> None:
    ctx.judgement = Judgement(score=7, label="CLEAN", action="ALLOW", reasons=())


def _tell(ctx: Context, activity: Activity) -> None:
    assert ctx.judgement
    ctx.occur("click", activity.at, {"score": ctx.judgement.score})


def _refuse(ctx: Context, activity: Activity) -> None:
    raise Invalid("no")


def test_rules_run_in_order_and_see_what_was_found_before():
    """The judgement of one is the fact of the next."""
    ctx = _context()
    decision = decide(ctx, _click(), {Kind.CLICK: (_judge, _tell)})
    assert decision.judgement
    assert decision.judgement.score == 7
    assert [(one.name, dict(one.facts)) for one in decision.occurrences] == [("click", {"score": 7})]


def test_each_decision_begins_with_nothing_found():
    """What the activity before has found is not found again."""
    ctx = _context()
    decide(ctx, _click(), {Kind.CLICK: (_judge, _tell)})
    decision = decide(ctx, _click(), {Kind.CLICK: ()})
    assert (decision.judgement, decision.occurrences) == (None, [])


@pytest.mark.parametrize("then", [_refuse, lambda ctx, activity: ctx.state.get("unread", Count)])
def test_a_rule_that_refuses_or_asks_leaves_nothing_changed(then):
    """Nor does what the rules before it changed count."""
    ctx = _context()
    ctx.state.load({"count": None})
    with pytest.raises((Invalid, Unread)):
        decide(ctx, _click(), {Kind.CLICK: (_count, then)})
    ctx.state.keep()
    assert not ctx.state.changes().puts


def test_a_timer_is_over_once_it_ran_unless_it_is_set_anew():
    """It calls the rule of its noun, with its name and when it was due."""
    ctx = _context()
    called = []

    def again(ctx: Context, name: str, due_at: Millis) -> None:
        called.append((name, due_at))
        ctx.state.set_timer(name, Millis(due_at + 1))

    ctx.state.load({}, {"hold:a:b": AT})
    tick(ctx, "hold:a:b", AT, {"hold": lambda ctx, name, due_at: called.append((name, due_at))})
    ctx.state.keep()
    assert dict(ctx.state.changes().timers) == {"hold:a:b": None}
    tick(ctx, "hold:a:b", AT, {"hold": again})  # it is over: not called
    ctx.state.load({}, {"hold:a:c": AT})
    tick(ctx, "hold:a:c", AT, {"hold": again})
    ctx.state.keep()
    assert dict(ctx.state.changes().timers) == {"hold:a:b": None, "hold:a:c": AT + 1}
    assert called == [("hold:a:b", AT), ("hold:a:c", AT)]


@pytest.mark.parametrize("now_set_for", [AT + 1, None])
def test_a_timer_that_was_moved_or_cleared_meanwhile_does_nothing(now_set_for: Millis | None):
    """Whoever was quicker stands."""
    ctx = _context()
    ctx.state.load({}, {"hold:1": AT})
    if now_set_for is None:
        ctx.state.clear_timer("hold:1")
    else:
        ctx.state.set_timer("hold:1", now_set_for)
    ctx.state.keep()
    tick(ctx, "hold:1", AT, {"hold": lambda ctx, name, due_at: pytest.fail("it was called")})
    ctx.state.keep()
    assert dict(ctx.state.changes().timers) == {"hold:1": now_set_for}


def test_a_timer_that_no_rule_knows_is_removed():
    """An older version may have set it."""
    ctx = _context()
    ctx.state.load({}, {"moon:1": AT})
    assert tick(ctx, "moon:1", AT, {}).occurrences == []
    ctx.state.keep()
    assert dict(ctx.state.changes().timers) == {"moon:1": None}


def test_every_kind_has_its_rules():
    """A kind that can be posted is decided."""
    assert set(rules.RULES) == set(Kind)
