"""Decides one thing at a time: an activity by all rules of its kind, a timer by the rule of its noun."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from tocsin.clock import Millis
from tocsin.triggers import rules
from tocsin.triggers.activity import Activity, Kind
from tocsin.triggers.context import Context
from tocsin.triggers.occurrences import Judgement, Occurrence
from tocsin.triggers.rules import Rule, Tick

T = TypeVar("T")


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    judgement: Judgement | None
    occurrences: Sequence[Occurrence]


def decide(ctx: Context, activity: Activity, by: Mapping[Kind, Sequence[Rule]] = rules.RULES) -> Decision:
    """What the rules find in an activity. What they change is in `ctx.state`, for the caller to keep or undo.

    Raises:
        Unread: keys must be read first; nothing is changed.
        Rejected: a rule refuses the activity; nothing is changed.
    """

    def run(ctx: Context) -> None:
        for rule in by[activity.kind]:
            rule(ctx, activity)
            if ctx.settled:
                break

    return change(ctx, run)[1]


def tick(ctx: Context, name: str, due_at: Millis, by: Mapping[str, Tick] = rules.TICKS) -> Decision:
    """What a timer's rule finds, if the timer (loaded with the state) is still set for then. It is over with that,
    unless the rule sets it anew. Raises as `decide`.
    """

    def run(ctx: Context) -> None:
        if ctx.state.timer(name) != due_at:
            return  # an activity before it, or another process, was quicker
        ctx.state.clear_timer(name)
        rule = by.get(name.partition(":")[0])
        if rule is not None:  # else an older version's timer
            rule(ctx, name, due_at)

    return change(ctx, run)[1]


def change(ctx: Context, how: Callable[[Context], T]) -> tuple[T, Decision]:
    """What anything finds that changes the state, and what it returns. Raises as `decide`, and what `how` raises."""
    ctx.judgement = None
    ctx.settled = False
    ctx.found = []
    try:
        result = how(ctx)
    except BaseException:
        ctx.state.undo()
        raise
    return result, Decision(judgement=ctx.judgement, occurrences=ctx.found)
