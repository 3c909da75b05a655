"""``tocsin visitors``: erasure."""

from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.exits import USAGE, Failure
from tocsin.cli.groups import command_group
from tocsin.cli.output import AsJson, Flag, put_json, put_pairs, say

app = command_group("visitors", "What is kept of one visitor.")


@app.command
def erase(visitor_id: str, /, *, yes: Flag = False, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Take out what the account has of a visitor; prints how much it was.

    Args:
        visitor_id: The id that events and activities carry.
        yes: Do it; without this nothing is taken out.
        as_json: Print JSON.
    """
    if not yes:
        raise Failure(USAGE, f"this takes out all that is kept of the visitor {visitor_id}; add --yes to do it")
    with Client(at) as client:
        report = client.call("DELETE", f"/v1/visitors/{segment(visitor_id)}")
    if as_json:
        put_json(report)
    else:
        put_pairs(report)
    say("Erased.")
