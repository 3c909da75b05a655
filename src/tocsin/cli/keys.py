"""``tocsin keys``: API keys."""

from collections.abc import Sequence
from typing import Annotated, Literal

from cyclopts import Parameter

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, put_json, put_pairs, put_table, say

app = command_group("keys", "API keys.")


@app.command(name="list")
def list_(*, limit: int = 50, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List keys, newest first; never their text.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/keys", limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "name", "begins with", "scopes", "last used", "revoked"),
        (
            [one["id"], one["name"], one["hint"], one["scopes"], one["last_used_at"], one.get("revoked_at")]
            for one in found
        ),
    )


@app.command
def create(
    name: str,
    /,
    *,
    scope: Annotated[Sequence[Literal["publish", "manage", "read"]], Parameter(negative=())] = (),
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Make a key; prints it, which cannot be done again.

    Args:
        name: What it is for.
        scope: What it may do; repeatable. Without it: everything.
        as_json: Print JSON.
    """
    body: dict[str, object] = {"name": name}
    if scope:
        body["scopes"] = list(scope)
    with Client(at) as client:
        made = client.post("/v1/keys", body)
    if as_json:
        put_json(made)
    else:
        put_pairs(made)
    say("The key is shown this once.")


@app.command(alias="delete")
def revoke(key_id: str, /, *, at: Connection = HERE) -> None:
    """Revoke a key; in force everywhere within two seconds.

    Args:
        key_id: Its id (key_…).
    """
    with Client(at) as client:
        client.call("DELETE", f"/v1/keys/{segment(key_id)}")
    say(f"Revoked {key_id}.")
