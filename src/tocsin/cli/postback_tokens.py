"""``tocsin postback-tokens``: what stands in the addresses that advertisers call at a conversion."""

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, put_json, put_pairs, put_table, say

app = command_group("postback-tokens", "Tokens of the addresses that advertisers call at a conversion.")

# What an advertiser's tracker fills in; braces are what most of them write their macros with.
_QUERY = "click_id={click_id}&txid={txid}&payout={payout}&currency=EUR&status={status}"


@app.command(name="list")
def list_(*, limit: int = 50, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List tokens, newest first; never their text.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/postback-tokens", limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "name", "begins with", "last used", "revoked"),
        ([one["id"], one["name"], one["hint"], one["last_used_at"], one["revoked_at"]] for one in found),
    )


@app.command
def create(name: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Make a token; prints it and its address, which cannot be done again.

    Args:
        name: Which advertiser or network gets it.
        as_json: Print JSON.
    """
    with Client(at) as client:
        made = client.post("/v1/postback-tokens", {"name": name})
    shown = {**made, "address": f"{at.url.rstrip('/')}{made['path']}?{_QUERY}"}
    if as_json:
        put_json(shown)
    else:
        put_pairs(shown)
    say("The token is shown this once. Put the advertiser's own macros into the address, and the server's public name.")


@app.command(alias="delete")
def revoke(token_id: str, /, *, at: Connection = HERE) -> None:
    """Revoke a token; its address answers 404 within two seconds, everywhere.

    Args:
        token_id: Its id (key_…).
    """
    with Client(at) as client:
        client.call("DELETE", f"/v1/postback-tokens/{segment(token_id)}")
    say(f"Revoked {token_id}.")
