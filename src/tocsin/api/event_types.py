"""The catalogue: what can happen."""

from typing import Annotated, Any

import msgspec

from tocsin.api import wire
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.api.wire import Limit
from tocsin.control.event_types import EventTypePut
from tocsin.model import EventType

_SCHEMA = {
    "type": "object",
    "required": ["order_id", "total"],
    "properties": {"order_id": {"type": "string"}, "total": {"type": "string"}},
}
_PUT_EXAMPLE = {
    "description": "A customer has paid an order.",
    "schema": _SCHEMA,
    "example": {"order_id": "4711", "total": "45.00"},
}
_EXAMPLE = {"name": "order.paid", **_PUT_EXAMPLE, "source": "account", "extension": True}


class EventTypeShown(msgspec.Struct, frozen=True, kw_only=True):
    """`schema`: JSON Schema 2020-12 of `data`; `example`: an instance. `source`: the document that names the type, or
    `account` for one of the account's own; `extension`: it is in no document.
    """

    name: str
    description: str
    schema: dict[str, Any]
    example: dict[str, Any]
    source: str
    extension: bool


class EventTypeList(msgspec.Struct, frozen=True, kw_only=True):
    data: list[EventTypeShown]
    next_cursor: str | None
    has_more: bool


class EventTypeQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A catalogue is read by name, and whole unless it is a very long one."""

    limit: Limit = 250
    cursor: Annotated[str, msgspec.Meta(max_length=200, description="`next_cursor` of the page before")] | None = None


def _shown(event_type: EventType) -> EventTypeShown:
    return EventTypeShown(
        name=event_type.name,
        description=event_type.description,
        schema=dict(event_type.schema),
        example=dict(event_type.example),
        source=event_type.source,
        extension=event_type.extension,
    )


@operation(
    "GET",
    "/v1/event-types",
    access=Access.READ,
    query=EventTypeQuery,
    answers=(Answer(200, EventTypeList, "By name", {"data": [_EXAMPLE], "next_cursor": None, "has_more": False}),),
)
async def list_event_types(call: Call) -> Reply:
    """List event types.

    Those of the account's profile and its own, by name.
    """
    after, limit = wire.read_name_cursor(call.query.cursor), call.query.limit
    found = [one for one in await call.services.control.event_types.list(call.account_id) if one.name > after]
    more = len(found) > limit
    cursor = wire.name_cursor(found[limit - 1].name) if more else None
    return Reply(200, EventTypeList(data=[_shown(one) for one in found[:limit]], next_cursor=cursor, has_more=more))


@operation(
    "GET",
    "/v1/event-types/{name}",
    access=Access.READ,
    answers=(Answer(200, EventTypeShown, "The event type", _EXAMPLE),),
)
async def get_event_type(call: Call) -> Reply:
    """Read an event type."""
    return Reply(200, _shown(await call.services.control.event_types.get(call.account_id, call.path["name"])))


@operation(
    "PUT",
    "/v1/event-types/{name}",
    access=Access.MANAGE,
    body=EventTypePut,
    body_example=_PUT_EXAMPLE,
    answers=(
        Answer(200, EventTypeShown, "It was replaced", _EXAMPLE),
        Answer(201, EventTypeShown, "It is new", _EXAMPLE),
    ),
    problems=(
        "event_type_name",
        "schema_invalid",
        "example_invalid",
        "catalogue_fixed",
        "event_type_reserved",
        "event_type_limit",
    ),
)
async def put_event_type(call: Call) -> Reply:
    """Add or replace an event type of the account's own.

    In the profile standard. The schema describes `data`, is bounded in size and refers to nothing outside itself; the
    example must fit it.
    """
    event_type, new = await call.services.control.event_types.put(
        call.actor, call.account_id, call.path["name"], call.body
    )
    return Reply(201 if new else 200, _shown(event_type))


@operation(
    "DELETE",
    "/v1/event-types/{name}",
    access=Access.MANAGE,
    answers=(Answer(204, None, "It is gone"),),
    problems=("catalogue_fixed", "event_type_reserved"),
)
async def delete_event_type(call: Call) -> Reply:
    """Remove an event type of the account's own.

    Events of that type are refused from now on; those that came stay. Webhooks that name it stay too.
    """
    await call.services.control.event_types.remove(call.actor, call.account_id, call.path["name"])
    return Reply(204)


OPERATIONS = (list_event_types, get_event_type, put_event_type, delete_event_type)
