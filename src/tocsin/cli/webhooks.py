"""``tocsin webhooks``: subscriptions, and what can be done with them."""

import time
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from tocsin.cli import attempts, chat_lines
from tocsin.cli.client import Client, segment
from tocsin.cli.connection import HERE, Connection
from tocsin.cli.exits import OK, UNDELIVERED, USAGE, Failure
from tocsin.cli.groups import command_group
from tocsin.cli.output import (
    AsJson,
    Flag,
    Texts,
    ago,
    pretty_body,
    put_json,
    put_pairs,
    put_table,
    put_text,
    say,
)
from tocsin.cli.reading import parse_object, split_headers

app = command_group("webhooks", "Subscriptions: where, which events, in what state.")

Header = Annotated[tuple[str, ...], Parameter(name="--header", negative=(), show_default=False)]


@app.command(name="list")
def list_(*, limit: int = 50, as_json: AsJson = False, at: Connection = HERE) -> None:
    """List webhooks, newest first.

    Args:
        limit: How many at most.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = list(client.items("/v1/webhooks", limit=limit))
    if as_json:
        put_json(found)
        return
    put_table(
        ("id", "status", "url", "events", "name", "reason"),
        (
            [one["id"], _status(one), one["url"], one["events"], one["name"], one["status_reason"] or ""]
            for one in found
        ),
    )


@app.command
def show(webhook: str, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Show one webhook.

    Args:
        webhook: Its id (wh_…).
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.get(_path(webhook)), as_json=as_json)


@app.command
def create(
    address: str,
    /,
    *,
    event: Texts = ("*",),
    name: str | None = None,
    description: str | None = None,
    filter_: Annotated[str | None, Parameter(name="--filter")] = None,
    header: Header = (),
    secret: str | None = None,
    rate_limit: float | None = None,
    max_in_flight: int | None = None,
    channel: str | None = None,
    options: str | None = None,
    disabled: Flag = False,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Make a webhook; prints its secret, which cannot be shown again.

    Args:
        address: Where deliveries go: an https address.
        event: Which events: exact names, families such as click.*, or * (the default); repeatable.
        name: What people call it.
        description: What it is for.
        filter_: CEL expression over event and data; only events for which it is true are delivered.
        header: A header of your own, 'Name: value'; repeatable.
        secret: Your own signing secret. Without it one is made.
        rate_limit: Deliveries a second at most.
        max_in_flight: Attempts under way at once at most.
        channel: How it is delivered; standard unless said otherwise.
        options: The dialect's or channel's own options, as a JSON object.
        disabled: Make it disabled.
        as_json: Print JSON.
    """
    body: dict[str, Any] = {"url": address, "events": list(event)}
    body |= _given(
        name=name,
        description=description,
        filter=filter_,
        headers=split_headers(header) or None,
        secret=secret,
        rate_limit=rate_limit,
        max_in_flight=max_in_flight,
        channel=channel,
        options=None if options is None else parse_object(options, "--options"),
        enabled=False if disabled else None,
    )
    with Client(at) as client:
        made = client.post("/v1/webhooks", body)
    _put(made, as_json=as_json)
    if made.get("secret"):
        say("The secret is shown this once.")
    if made["channel"] == "email" and made.get("confirmed_at") is None:
        say("A mail to this address asks whoever reads there; alerts begin once they have agreed.")


@app.command
def change(
    webhook: str,
    /,
    *,
    address: str | None = None,
    event: Texts = (),
    name: str | None = None,
    description: str | None = None,
    filter_: Annotated[str | None, Parameter(name="--filter")] = None,
    header: Header = (),
    remove_header: Texts = (),
    rate_limit: float | None = None,
    max_in_flight: int | None = None,
    options: str | None = None,
    clear: Annotated[
        tuple[Literal["filter", "headers", "rate_limit", "max_in_flight", "options"], ...],
        Parameter(negative=(), show_default=False),
    ] = (),
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Change a webhook; in force for every event accepted after the answer.

    Args:
        webhook: Its id (wh_…).
        address: Where deliveries go.
        event: Which events; repeatable, replaces all of them.
        name: What people call it.
        description: What it is for.
        filter_: CEL expression.
        header: Set a header of your own, 'Name: value'; repeatable.
        remove_header: Remove a header of your own, by name; repeatable.
        rate_limit: Deliveries a second at most.
        max_in_flight: Attempts under way at once at most.
        options: Options to change, as a JSON object; null removes one.
        clear: Remove a setting; repeatable.
        as_json: Print JSON.
    """
    headers: dict[str, str | None] = {**split_headers(header), **dict.fromkeys(remove_header)}
    body = _given(
        url=address,
        events=list(event) or None,
        name=name,
        description=description,
        filter=filter_,
        headers=headers or None,
        rate_limit=rate_limit,
        max_in_flight=max_in_flight,
        options=None if options is None else parse_object(options, "--options"),
    )
    twice = [setting for setting in clear if setting in body]
    if twice:
        raise Failure(USAGE, f"--clear {twice[0]} and a new value for it contradict each other")
    body |= dict.fromkeys(clear)
    if not body:
        raise Failure(USAGE, "nothing to change was given")
    with Client(at) as client:
        _put(client.call("PATCH", _path(webhook), body=body), as_json=as_json)


@app.command(alias="remove")
def delete(webhook: str, /, *, at: Connection = HERE) -> None:
    """Delete a webhook; what waits for it is cancelled, the log stays.

    Args:
        webhook: Its id (wh_…).
    """
    with Client(at) as client:
        client.call("DELETE", _path(webhook))
    say(f"Deleted {webhook}.")


@app.command(name="test")
def send_test(
    webhook: str,
    /,
    *,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> int:
    """Send a type's example now, and show what really happened; exit code 6 where it did not succeed.

    Args:
        webhook: Its id (wh_…); it may be disabled.
        event_type: Whose example; without it the first that the webhook takes.
        as_json: Print JSON.
    """
    with Client(at) as client:
        attempt = client.post(f"{_path(webhook)}/test", _given(type=event_type))
    if as_json:
        put_json(attempt)
    else:
        attempts.put(attempt)
    return OK if attempt["outcome"] == "succeeded" else UNDELIVERED


@app.command
def enable(
    webhook: str,
    /,
    *,
    held: Literal["resume", "drop"] = "resume",
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Enable a webhook.

    Args:
        webhook: Its id (wh_…).
        held: Whether the deliveries that it held go out now, or are cancelled.
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.post(f"{_path(webhook)}/enable", {"held": held}), as_json=as_json)


@app.command
def disable(webhook: str, /, *, reason: str | None = None, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Disable a webhook: its waiting deliveries are held, new events make none for it.

    Args:
        webhook: Its id (wh_…).
        reason: Why; shown wherever the webhook is.
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.post(f"{_path(webhook)}/disable", _given(reason=reason)), as_json=as_json)


@app.command
def confirm(webhook: str, code: str | None = None, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Confirm the address of an e-mail webhook, or have whoever reads there asked again.

    Args:
        webhook: Its id (wh_…).
        code: From the mail that went to its address, or that mail's link; without it the mail is sent again.
        as_json: Print JSON.
    """
    with Client(at) as client:
        found = client.post(f"{_path(webhook)}/confirm", _given(code=code))
    _put(found, as_json=as_json)
    if found["mail_sent"]:
        say("The mail was sent again.")


@app.command
def mute(webhook: str, hours: float, /, *, as_json: AsJson = False, at: Connection = HERE) -> None:
    """Hold a webhook's deliveries for some hours.

    Args:
        webhook: Its id (wh_…).
        hours: How long; 0 ends it now.
        as_json: Print JSON.
    """
    with Client(at) as client:
        _put(client.post(f"{_path(webhook)}/mute", {"hours": hours}), as_json=as_json)


@app.command
def rotate_secret(
    webhook: str,
    /,
    *,
    overlap_s: int | None = None,
    secret: str | None = None,
    activate: Flag = False,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Give a webhook a new secret, and print it; it cannot be shown again.

    Args:
        webhook: Its id (wh_…).
        overlap_s: How many seconds the old one still counts; a day unless said otherwise.
        secret: Your own. Without it one is made.
        activate: Make no new one, but end the overlap of the last rotation now.
        as_json: Print JSON.
    """
    if activate and (overlap_s is not None or secret is not None):
        raise Failure(USAGE, "--activate ends a rotation; it takes no secret and no overlap")
    with Client(at) as client:
        if activate:
            _put(client.call("POST", f"{_path(webhook)}/rotate-secret/activate"), as_json=as_json)
            return
        _put(
            client.post(f"{_path(webhook)}/rotate-secret", _given(overlap_s=overlap_s, secret=secret)), as_json=as_json
        )
    say("The secret is shown this once.")


@app.command
def preview(
    webhook: str,
    /,
    *,
    event: str | None = None,
    event_type: Annotated[str | None, Parameter(name="--type")] = None,
    chats: Flag = False,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Show the request that an event makes, without sending it.

    Args:
        webhook: Its id (wh_…).
        event: An event's id (evt_…).
        event_type: A type, whose example is taken; without both, the first that the webhook takes.
        chats: Show instead how the event reads in each chat.
        as_json: Print JSON.
    """
    with Client(at) as client:
        shown = client.post(f"{_path(webhook)}/preview", _given(event_id=event, type=event_type))
    if as_json:
        put_json(shown)
        return
    if chats:
        for name, body in shown["chats"].items():
            put_text(name, style="bold")
            if not chat_lines.put_unsent(name, body):
                put_text(pretty_body(body))
            put_text("")
        return
    put_text(f"{shown['method']} {shown['url']}", style="bold")
    for name, value in shown["headers"].items():
        put_text(f"{name}: {value}")
    put_text("")
    put_text(pretty_body(shown["body"]))


@app.command
def backtest(
    webhook: str | None = None,
    /,
    *,
    event: Annotated[Sequence[str], Parameter(negative=())] = (),
    filter_: Annotated[str | None, Parameter(name="--filter")] = None,
    days: int = 7,
    as_json: AsJson = False,
    at: Connection = HERE,
) -> None:
    """Ask how many of the last days' events a webhook would have been sent. Makes and sends nothing.

    Args:
        webhook: Its id (wh_…): takes its events and its filter, where no others are given.
        event: An event type, a family (click.*) or *; repeatable.
        filter_: A condition in CEL over event and data.
        days: How many days back.
        as_json: Print JSON.
    """
    body = _given(webhook_id=webhook, events=list(event) or None, filter=filter_, days=days)
    with Client(at) as client:
        found = client.post("/v1/webhooks/backtest", body)
    if as_json:
        put_json(found)
        return
    rows = [[day, type_, count] for day, types in found["by_day"].items() for type_, count in types.items()]
    put_table(("day", "type", "sent"), rows)
    put_text(f"{found['sent']} of {found['looked_at']} events since {found['since']}.")
    for count, what in (
        (found["failed"], "the filter cannot judge"),
        (found["gone"], "retention has taken the bodies of"),
    ):
        if count:
            say(f"Not counted: {what} {count}.")
    if not found["complete"]:
        say(f"There was more than one question may look at: it came back as far as {found['since']}.")


def _path(webhook: str) -> str:
    return f"/v1/webhooks/{segment(webhook)}"


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _status(webhook: dict[str, Any]) -> str:
    return "muted" if webhook["status"] == "active" and webhook["muted_until"] else str(webhook["status"])


def _put(webhook: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        put_json(webhook)
        return
    now = time.time()
    instants = ("status_since", "muted_until", "confirmed_at", "secret_overlap_until", "created_at", "updated_at")
    put_pairs(
        {
            name: ago(value, now) if name in instants and value else value
            for name, value in webhook.items()
            if name != "enabled"
        }
    )
