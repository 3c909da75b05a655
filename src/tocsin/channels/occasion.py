"""What there is to tell: an event, and whose it is."""

from typing import Any

import msgspec

from tocsin.clock import Millis
from tocsin.profiles import Profile


class Occasion(msgspec.Struct, frozen=True, kw_only=True):
    """An event as a message is made from it: of its `data`, not of any wire body.

    `data` is the parsed JSON, with IP addresses masked already. `links` leads to where more is said: the page of a
    digest; None where the server does not know its own address.
    """

    event_id: str  # "evt_…"
    type: str
    timestamp: Millis
    data: Any
    profile: Profile
    account_name: str
    test: bool = False
    link: str | None = None
