"""Where the API is and who asks: the same three flags on every command that talks to a server."""

from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

_GROUP = Group("Server", sort_key=90)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Connection:
    url: Annotated[str, Parameter(env_var="TOCSIN_URL", group=_GROUP, negative=())] = "http://127.0.0.1:8400"
    """Address of the server."""

    key: Annotated[
        str | None, Parameter(env_var=["TOCSIN_KEY", "TOCSIN_ADMIN_KEY"], group=_GROUP, negative=(), show_default=False)
    ] = None
    """API key: an account's, or the operator's. Better in the variable: other users of this machine see flags."""

    account: Annotated[
        str | None, Parameter(env_var="TOCSIN_ACCOUNT", group=_GROUP, negative=(), show_default=False)
    ] = None
    """The account (acc_…) to act for, with the operator's key."""


HERE = Connection()
