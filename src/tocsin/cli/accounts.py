"""``tocsin accounts``: the tenants, for the operator."""

from typing import Any

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.exits import USAGE, Failure
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, Flag, put_json, put_pairs, put_table, say
from tocsin.cli.reading import parse_object

app = command_group("accounts", "The tenants (operator).")


@app.command(name="list")
def list_(*, limit: int = 50, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List accounts, newest first.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/accounts", limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "name", "profile", "external id", "made"),
        ([one["id"], one["name"], one["profile"], one.get("external_id"), one["created_at"]] for one in found),
    )


@app.command
def show(account: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one account.

    Args:
        account: Its id (acc_…).
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.get(f"/v1/accounts/{segment(account)}"), as_json=as_json)


@app.command
def create(
    name: str,
    /,
    *,
    profile: str = "standard",
    timezone: str | None = None,
    external_id: str | None = None,
    notify_email: str | None = None,
    settings: str | None = None,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Make an account; prints its first key, which cannot be shown again.

    Args:
        name: What people call it.
        profile: The dialect that its webhooks speak; tocsin profiles lists them.
        timezone: IANA name, such as Europe/Berlin, for its days and weeks.
        external_id: Your own id for it.
        notify_email: Who is told when a webhook is disabled.
        settings: Further settings, as a JSON object.
        as_json: Print JSON.
    """
    body: dict[str, Any] = {"name": name, "profile": profile}
    optional = {"timezone": timezone, "external_id": external_id, "notify_email": notify_email}
    body.update({key: value for key, value in optional.items() if value is not None})
    if settings is not None:
        body["settings"] = parse_object(settings, "--settings")
    with Client(at) as client:
        made = client.post("/v1/accounts", body)
    _put(made, as_json=as_json)
    say("The key is shown this once. Use it with: export TOCSIN_KEY=…")


@app.command(alias="remove")
def delete(account: str, /, *, yes: Flag = False, at: Connection = HERE) -> None:
    """Remove an account with its keys, webhooks, events and deliveries.

    Args:
        account: Its id (acc_…).
        yes: Do it; without this nothing is removed.
    """
    with Client(at) as client:
        found = client.get(f"/v1/accounts/{segment(account)}")
        if not yes:
            raise Failure(USAGE, f"this removes {found['name']} ({account}) with all it has; add --yes to do it")
        client.call("DELETE", f"/v1/accounts/{segment(account)}")
    say(f"Removed {account}.")


def _put(account: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(account)
    else:
        put_pairs(account)
