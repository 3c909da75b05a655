"""Activity: what happened, posted one by one or in batches; what it fires is decided here, not by who posts it."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Union

import msgspec
import orjson
from msgspec import UNSET, Meta, UnsetType

from tocsin.api import wire
from tocsin.api.activity_examples import EXAMPLES
from tocsin.api.operations import MAX_BATCH_BYTES, Access, Answer, Call, Reply, operation
from tocsin.api.problems import Problem, problem
from tocsin.api.services import Services
from tocsin.api.wire import ActivityIdText, EventIdText
from tocsin.clock import Millis
from tocsin.control.values import ExternalId, Instant, millis
from tocsin.engine.activity.activities import NewItem, Taken
from tocsin.errors import Fault, NotFound, Unavailable
from tocsin.faults import Open, faults_of, invalid
from tocsin.model import AccountId
from tocsin.nearest import did_you_mean
from tocsin.profiles.jsjson import stabilise
from tocsin.telemetry import raise_by
from tocsin.triggers.activity import Kind
from tocsin.triggers.shapes import AMOUNTS, MAX_BYTES, SHAPES

log = logging.getLogger(__name__)

MAX_BATCH = 1_000  # CONTRACT §3

# Activities that are read before others of this process get their turn: some milliseconds.
_SLICE = 100

_KINDS: Mapping[str, Kind] = {kind.value: kind for kind in Kind}

_exactly = msgspec.json.Decoder(float_hook=Decimal)


class Envelope(Open, kw_only=True):
    """What every kind has. `external_id` makes posting repeatable: the same content again is answered as a duplicate,
    and nothing is counted twice. `at`: when it happened; left out, now. It may lie in the past as far as you like.
    """

    external_id: ExternalId | None = None
    at: Instant | None = None


def _posted(kind: Kind, shape: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The shape as it is posted: told apart by `kind`, with what every kind has."""
    return msgspec.defstruct(
        f"New{shape.__name__}",
        [(field.name, field.type, field.default) for field in msgspec.structs.fields(Envelope)],
        bases=(shape,),
        tag=kind.value,
        tag_field="kind",
        kw_only=True,
        namespace={"__doc__": shape.__doc__},
        module=__name__,
    )


POSTED: Mapping[Kind, type[msgspec.Struct]] = {kind: _posted(kind, shape) for kind, shape in SHAPES.items()}
NewActivity: Any = Union[tuple(POSTED.values())]  # noqa: UP007 - made from a table


class NewActivities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    activities: Annotated[list[NewActivity], Meta(min_length=1, max_length=MAX_BATCH)]


class ActivityRaw(Open, kw_only=True):
    """One, or a batch whose items are left for later, so that each can be refused on its own."""

    kind: msgspec.Raw | UnsetType = UNSET
    activities: Annotated[list[msgspec.Raw], Meta(min_length=1, max_length=MAX_BATCH)] | UnsetType = UNSET


class Fired(msgspec.Struct, frozen=True, kw_only=True):
    id: EventIdText
    type: str


class Because(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    points: int


class ActivityResult(msgspec.Struct, frozen=True, kw_only=True):
    """`duplicate`: its external_id was known; nothing was counted, and the rest is what was said of the first one.
    `score`, `label` and `reasons`: of clicks and visits. `refused`: only `error` is set.
    """

    status: Literal["accepted", "duplicate", "refused"]
    id: ActivityIdText | UnsetType = UNSET
    duplicate: bool | UnsetType = UNSET
    events: list[Fired] | UnsetType = UNSET
    score: int | UnsetType = UNSET
    label: Annotated[str, Meta(examples=["CLEAN"])] | UnsetType = UNSET
    reasons: list[Because] | UnsetType = UNSET
    error: Problem | UnsetType = UNSET


class ActivityResults(msgspec.Struct, frozen=True, kw_only=True):
    """One result for each activity, in order."""

    results: list[ActivityResult]


_RESULT_EXAMPLE: dict[str, Any] = {
    "status": "accepted",
    "id": "act_06f3k9w2zq8rt",
    "duplicate": False,
    "events": [{"id": "evt_06f3k9w2zq8rt", "type": "click.created"}],
    "score": 30,
    "label": "CLEAN",
    "reasons": [{"rule": "rapid_clicks", "points": 30}],
}


@operation(
    "POST",
    "/v1/activity",
    access=Access.PUBLISH,
    body=ActivityRaw,
    body_shown=(NewActivity, NewActivities),
    body_example=EXAMPLES[Kind.CLICK],
    body_examples={
        **{kind.value: example for kind, example in EXAMPLES.items()},
        "batch": {"activities": [EXAMPLES[Kind.CLICK], EXAMPLES[Kind.CONVERSION]]},
    },
    max_body_bytes=MAX_BATCH_BYTES,
    answers=(
        Answer(
            202,
            ActivityResults,
            "What it changed and fired is durable; in a batch each is accepted or refused on its own",
            {
                "results": [
                    _RESULT_EXAMPLE,
                    {
                        "status": "refused",
                        "error": {
                            "type": "/docs/errors/invalid",
                            "title": "Values are at fault",
                            "status": 422,
                            "detail": "/activities/1/payout: it is missing",
                            "code": "invalid",
                            "request_id": "req_06f3k9w2zq8rt",
                            "errors": [{"pointer": "/activities/1/payout", "detail": "it is missing"}],
                        },
                    },
                ]
            },
        ),
    ),
    problems=(
        *("external_id_conflict", "conversion_conflict", "unknown_conversion", "currency_mismatch"),
        *("unstorable", "overloaded"),
    ),
)
async def post_activity(call: Call) -> Reply:
    """Post activity.

    One, or up to 1000 as `activities`. Counters, states and the events that fire are one transaction: posted again
    under the same `external_id`, nothing is counted or fired twice.
    """
    return Reply(202, await take_activity(call.services, call.account_id, call.body, call.raw, call.request_id))


async def take_activity(
    services: Services, account_id: AccountId, asked: ActivityRaw, body: bytes, request_id: str
) -> ActivityResults:
    """`asked` is what `body` was decoded into. Raises what a single activity is refused by, or a whole batch."""
    batch = asked.activities
    if isinstance(batch, UnsetType):
        (outcome,) = await _take(services, account_id, [body])
        if isinstance(outcome, Exception):
            raise outcome
        return ActivityResults(results=[_result(outcome)])
    if not isinstance(asked.kind, UnsetType):
        raise invalid([Fault("/kind", "a batch has no kind: each of its activities has its own")])
    outcomes = await _take(services, account_id, batch)
    for error in (Unavailable, NotFound):  # none was taken; the account is gone
        if all(isinstance(outcome, error) for outcome in outcomes):
            raise _first_error(outcomes)
    results = [
        _refusal(request_id, index, outcome) if isinstance(outcome, Exception) else _result(outcome)
        for index, outcome in enumerate(outcomes)
    ]
    return ActivityResults(results=results)


async def _take(
    services: Services, account_id: AccountId, bodies: Sequence[msgspec.Raw | bytes]
) -> Sequence[Taken | Exception]:
    """In order. Raises `NotFound`, `Unavailable`."""
    items: list[NewItem] = []
    found: list[Taken | Exception | None] = []
    for index, body in enumerate(bodies):
        if index % _SLICE == _SLICE - 1:
            await asyncio.sleep(0)
        try:
            items.append(read_item(bytes(body)))
            found.append(None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this one's answer
            raise_by(services.metrics.activities_refused, "unread")
            found.append(error)
    taken = await services.activities.take(account_id, items)
    rest = iter(taken)
    return [next(rest) if one is None else one for one in found]


def _first_error(outcomes: Sequence[Taken | Exception]) -> Exception:
    return next(outcome for outcome in outcomes if isinstance(outcome, Exception))


def read_item(body: bytes) -> NewItem:
    """One activity from its JSON.

    Raises:
        Malformed: it is no JSON.
        Invalid: with pointers relative to the activity.
    """
    if len(body) > MAX_BYTES:
        raise invalid([Fault("", f"an activity has at most {MAX_BYTES:,} bytes; this one has {len(body):,}")])
    value, _ = stabilise(body, "")
    if type(value) is not dict:
        raise invalid([Fault("", "expected an object")])
    faults: list[Fault] = []
    kind = _kind(value.pop("kind", None), faults)
    external_id, at = value.pop("external_id", None), value.pop("at", None)
    if external_id is not None or at is not None:
        faults += faults_of({"external_id": external_id, "at": at}, Envelope)
    happened_at: Millis | None = None
    if not faults and at is not None:
        happened_at = millis(msgspec.convert(at, Instant), "/at")
    if faults or kind is None:
        raise invalid(faults)
    return NewItem(
        kind=kind, raw=_exact(kind, value, body), source=orjson.dumps(value), external_id=external_id, at=happened_at
    )


def _kind(given: Any, faults: list[Fault]) -> Kind | None:
    kind = _KINDS.get(given) if type(given) is str else None
    if kind is None:
        known = ", ".join(_KINDS)
        why = "it is missing" if given is None else f"there is no such kind{did_you_mean(str(given)[:64], _KINDS)}"
        faults.append(Fault("/kind", f"{why}; the kinds are {known}"))
    return kind


def _exact(kind: Kind, value: dict[str, Any], body: bytes) -> dict[str, Any]:
    """The same, its amounts from their own digits where parsing took them for binary floating point."""
    for path in AMOUNTS.get(kind, ()):
        found: Any = value
        for step in path:
            found = found.get(step) if type(found) is dict else None
        if type(found) is float:
            exact = _exactly.decode(body)
            return {name: exact[name] for name in value}
    return value


def _result(taken: Taken) -> ActivityResult:
    judgement = taken.judgement
    return ActivityResult(
        status="duplicate" if taken.duplicate else "accepted",
        id=wire.activity_id(taken.id),
        duplicate=taken.duplicate,
        events=[Fired(id=wire.event_id(number), type=type_) for number, type_ in taken.events],
        score=UNSET if judgement is None else judgement.score,
        label=UNSET if judgement is None else judgement.label,
        reasons=UNSET
        if judgement is None
        else [Because(rule=rule, points=points) for rule, points in judgement.reasons],
    )


def _refusal(request_id: str, index: int, error: Exception) -> ActivityResult:
    found = problem(error, request_id)
    if found.status == 500:
        fields = {"request_id": request_id, "operation": post_activity.id, "status": 500}
        log.error("request_failed", exc_info=error, extra=fields)
    at = f"/activities/{index}"
    faults = tuple(Fault(at + fault.pointer, fault.detail) for fault in found.errors)
    detail = at + found.detail if found.detail.startswith("/") else found.detail
    return ActivityResult(status="refused", error=msgspec.structs.replace(found, detail=detail, errors=faults))


OPERATIONS = (post_activity,)
