"""Every error that Tocsin shows, as one tree.

    TocsinError
    ├── Rejected                 the caller can mend it: 4xx
    │   ├── Malformed            malformed_json, malformed_request                      400
    │   ├── Unauthorised         missing_key, unknown_key                               401
    │   ├── Forbidden            missing_scope, operator_only                           403
    │   ├── NotFound             not_found                                              404
    │   ├── Conflict             external_id_conflict, webhook_limit, …                 409
    │   ├── TooLarge             body_too_large                                         413
    │   └── Invalid              invalid, unknown_event_type, data_invalid, …           422
    ├── Unavailable              overloaded, store_unavailable, stopping                503
    │   └── ProfileMissing       profile_missing                                        503
    ├── Defect                   internal                                               500
    └── Misconfigured            a setting or the installation is wrong; stops the start

An error has a stable `code` (one per cause, each explained in ``docs/reference/errors.md``), one HTTP status, a
sentence that says how to mend it, and, where single values are at fault, a pointer to each. A failed delivery is no
error but a value: `tocsin.model.Outcome`.
"""

from collections.abc import Sequence
from typing import ClassVar

import msgspec


class Fault(msgspec.Struct, frozen=True):
    """One value at fault: an RFC 6901 pointer into the request's body (or ``?name`` for a query's), and why."""

    pointer: str
    detail: str


class TocsinError(Exception):
    """The root: never raised itself."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal"

    def __init__(self, detail: str, *, code: str | None = None, faults: Sequence[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.faults = tuple(faults)


class Rejected(TocsinError):
    """The request cannot be carried out as it is; nothing was changed."""

    status = 400
    default_code = "rejected"


class Malformed(Rejected):
    status = 400
    default_code = "malformed_request"


class Unauthorised(Rejected):
    status = 401
    default_code = "unknown_key"


class Forbidden(Rejected):
    status = 403
    default_code = "missing_scope"


class NotFound(Rejected):
    status = 404
    default_code = "not_found"


class Conflict(Rejected):
    status = 409
    default_code = "conflict"


class TooLarge(Rejected):
    status = 413
    default_code = "body_too_large"


class Invalid(Rejected):
    status = 422
    default_code = "invalid"


class Unavailable(TocsinError):
    """Nothing was accepted; the same request can succeed later."""

    status = 503
    default_code = "unavailable"


class ProfileMissing(Unavailable):
    """The account's profile is not among those that this process has; the other accounts go on."""

    default_code = "profile_missing"


class Defect(TocsinError):
    """A mistake of ours, met by one of many that were asked for together; the log has it."""


class Misconfigured(TocsinError):
    """The start is refused: a setting or the installation is wrong, and the sentence says how to mend it."""

    default_code = "misconfigured"


def url_refused(why: str) -> Invalid:
    """A webhook's address that is not taken, as every channel and the outbound guard say it."""
    return Invalid(f"the address is refused: {why}", code="url_refused", faults=[Fault("/url", why)])
