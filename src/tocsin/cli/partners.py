"""``tocsin partners``: who brings the traffic."""

from typing import Any, Literal

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, put_json, put_pairs, put_table

app = command_group("partners", "Who brings the traffic.")


@app.command(name="list")
def list_(*, limit: int = 100, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List partners, by id.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/partners", limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "name", "status", "reason", "changed"),
        ([one["id"], one["name"], one["status"], one["reason"], one["updated_at"]] for one in found),
    )


@app.command(alias="show")
def get(partner: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one partner.

    Args:
        partner: Its id, as activities name it.
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.get(f"/v1/partners/{segment(partner)}"), as_json=as_json)


@app.command(name="set")
def set_(
    partner: str,
    /,
    *,
    name: str,
    status: Literal["applied", "approved", "banned"] | None = None,
    reason: str | None = None,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Set a partner. Another status is told to webhooks.

    Args:
        partner: Its id, as activities name it.
        name: What people call it.
        status: What became of it; else as it is.
        reason: Why.
        as_json: Print JSON.
    """
    body = {"name": name, "status": status, "reason": reason}
    with Client(at) as client:
        _put(client.call("PUT", f"/v1/partners/{segment(partner)}", body=body), as_json=as_json)


def _put(partner: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(partner)
    else:
        put_pairs(partner)
