"""An account's catalogue: its profile's event types, and in some profiles its own."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from tocsin.clock import Clock
from tocsin.control.actor import Actor
from tocsin.control.values import Prose
from tocsin.engine.cluster.bell import Bell
from tocsin.engine.directory import AccountView, Directory
from tocsin.errors import Conflict, Fault, Invalid, NotFound, Rejected
from tocsin.model import OWN_TYPES, AccountId, EventType
from tocsin.nearest import did_you_mean
from tocsin.profiles import CatalogueEntry
from tocsin.profiles.jsjson import stabilise
from tocsin.profiles.schemas import compile_schema
from tocsin.store.port import Catalogue

# Each is compiled and kept in memory with its account: 500 of them are some 10 MB, and no catalogue that people read
# is longer.
MAX_EVENT_TYPES = 500

# An example is shown in lists and sent as a test: as large as a large event, not as large as events may be.
_MAX_EXAMPLE_BYTES = 65_536

# Parts in snake_case, joined by dots, so that ``prefix.*`` can name a family.
EventTypeName = Annotated[
    str,
    msgspec.Meta(
        min_length=1, max_length=128, pattern=r"^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*$(?!\n)", examples=["order.paid"]
    ),
]
_check_name = msgspec.json.Decoder(EventTypeName)


class EventTypePut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`schema`: JSON Schema 2020-12 of `data`; `example`: an instance of it."""

    schema: msgspec.Raw
    example: msgspec.Raw
    description: Prose = ""


class EventTypeControl:
    def __init__(self, *, catalogue: Catalogue, directory: Directory, bell: Bell, clock: Clock) -> None:
        self._catalogue = catalogue
        self._directory = directory
        self._bell = bell
        self._clock = clock

    async def list(self, account_id: AccountId) -> Sequence[EventType]:
        """By name."""
        entries = (await self._directory.fresh(account_id)).entries()
        return [entries[name].event_type for name in sorted(entries)]

    async def get(self, account_id: AccountId, name: str) -> EventType:
        view = await self._directory.fresh(account_id)
        return entry_of(view, name, missing=NotFound).event_type

    async def put(self, actor: Actor, account_id: AccountId, name: str, put: EventTypePut) -> tuple[EventType, bool]:
        """The event type as stored, and whether it is new.

        Raises:
            Invalid: the name, the schema (`schema_invalid`) or the example (`example_invalid`) is at fault.
            Conflict: `catalogue_fixed`, `event_type_reserved` or `event_type_limit`.
        """
        view = await self._directory.fresh(account_id)
        self._check_own(view, name)
        try:
            _check_name.decode(msgspec.json.encode(name))
        except msgspec.ValidationError:
            raise Invalid(
                "an event type is named in snake_case, with dots between its parts, such as order.paid; at most 128 "
                "characters",
                code="event_type_name",
            ) from None
        schema = _value(put.schema, "/schema")
        if not isinstance(schema, Mapping):
            raise Invalid("the schema is not an object", faults=[Fault("/schema", "write a JSON Schema as an object")])
        validator = compile_schema(schema)
        example = _value(put.example, "/example", _MAX_EXAMPLE_BYTES)
        if not isinstance(example, Mapping):
            raise Invalid(
                "the example is not an object", faults=[Fault("/example", "the data of an event is an object")]
            )
        faults = validator.faults(example, "/example")
        if faults:
            raise Invalid("the example does not fit the schema", code="example_invalid", faults=faults)
        event_type = EventType(
            name=name, description=put.description, schema=schema, example=example, source="account", extension=True
        )
        change = actor.change(self._clock.now_ms(), "event_type.put", name)
        new = await self._catalogue.put(account_id, event_type, MAX_EVENT_TYPES, change)
        self._bell.account_changed(account_id)
        return event_type, new

    async def remove(self, actor: Actor, account_id: AccountId, name: str) -> None:
        """Events of that type are refused from now on; webhooks that name it stay and get nothing of it."""
        view = await self._directory.fresh(account_id)
        self._check_own(view, name)
        change = actor.change(self._clock.now_ms(), "event_type.removed", name)
        if not await self._catalogue.remove(account_id, name, change):
            entry_of(view, name, missing=NotFound)
            raise NotFound("there is no such event type")
        self._bell.account_changed(account_id)

    def _check_own(self, view: AccountView, name: str) -> None:
        if not view.profile.custom_event_types:
            raise Conflict(
                f"accounts of the profile {view.profile.name} have the event types of its document, and no others",
                code="catalogue_fixed",
            )
        if name.startswith(OWN_TYPES):
            raise Conflict(
                f"names that begin with {OWN_TYPES} are Tocsin's own; choose another name", code="event_type_reserved"
            )
        if name in view.profile.catalogue:
            raise Conflict(
                f"{name} belongs to the profile {view.profile.name}; choose another name", code="event_type_reserved"
            )


def entry_of(
    view: AccountView, name: str, *, missing: type[Rejected] = Invalid, pointer: str = "/type"
) -> CatalogueEntry:
    """An entry of the catalogue.

    Raises:
        Rejected: of the class `missing`, where there is none, with the names that are near.
    """
    entry = view.entry(name)
    if entry is not None:
        return entry
    detail = f"there is no event type {name[:128]!r}{did_you_mean(name, view.entries())}"
    if missing is NotFound:
        raise NotFound(detail)
    raise missing(detail, code="unknown_event_type", faults=[Fault(pointer, detail)])


def _value(raw: msgspec.Raw, pointer: str, max_bytes: int | None = None) -> Any:
    """A user's JSON, strictly read: what an event's `data` may not hold, a schema or an example may not either."""
    content = bytes(raw)
    if max_bytes is not None and len(content) > max_bytes:
        raise Invalid(f"{pointer[1:]} is too large", faults=[Fault(pointer, f"at most {max_bytes} bytes")])
    try:
        return stabilise(content, pointer)[0]
    except Invalid as error:
        raise Invalid(error.detail, faults=error.faults) from None
