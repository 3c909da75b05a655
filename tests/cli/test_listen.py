"""``tocsin listen`` as a process: what it prints, how it answers, how it ends."""

import http.client
import json
import smtplib
from email.message import EmailMessage
from urllib.parse import urlsplit

from tests.cli.conftest import Terminal
from tests.support.api import CLICK, Shop

BODY = b'{"type":"click.created","timestamp":"2026-01-01T00:00:00Z","data":{}}'


def post(url: str, body: bytes = BODY, **headers: str) -> int:
    where = urlsplit(url)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)
    try:
        connection.request("POST", where.path + (f"?{where.query}" if where.query else "") or "/", body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_real_deliveries_verify(owner: Terminal, shop: Shop, listen) -> None:
    """A real delivery of a real server arrives, verifies, and is printed as JSON with its verdict and answer."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    listener = listen("--json", webhook_secret=secret)
    shop.webhook(f"{listener.url}/hook", secret=secret)
    sent = owner.json("send", CLICK, "--example", "--wait")
    [arrival] = listener.arrivals(1)
    assert (arrival["id"], arrival["type"], arrival["path"]) == (sent["id"], CLICK, "/hook")
    assert (arrival["verified"], arrival["profile"], arrival["status"]) == (True, "standard", 200)
    assert json.loads(arrival["body"])["data"] == shop.example(CLICK)


def test_retries_of_a_failing_listener(start_server, terminal: Terminal, listen) -> None:
    """A listener that fails is tried again, and shows that it is the same event."""
    server = start_server(retry_scale=0.001)
    shop = server.operator.shop()
    listener = listen("--json", "--fail-rate", 1)
    hook = shop.webhook(listener.url)["id"]
    shop.publish()
    first, second = listener.arrivals(2)[:2]
    assert (first["id"], first["nth"], first["status"]) == (second["id"], 1, 500)
    assert (second["nth"], second["duplicate"]) == (2, False)
    shop.post(f"/v1/webhooks/{hook}/disable")


def test_what_a_person_sees(listen) -> None:
    """Without --json a person reads the verdict, the headers and the body, and no control character of a sender's."""
    listener = listen(webhook_secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    assert post(f"{listener.url}/x", b'{"type": "a\x1b[2Jb"}', **{"X-Mine": "yes"}) == 200
    assert listener.stop() == 0
    assert "NOT VERIFIED: missing_header" in listener.text
    assert "X-Mine: yes".lower() in listener.text.lower()
    assert "answered 200" in listener.text
    assert "\x1b[2J" not in listener.text


def test_without_a_secret_nothing_is_verified(listen) -> None:
    """Without a secret it says so at the start and at every arrival, instead of pretending."""
    listener = listen("--hide", "headers", "--hide", "body", "--status", 202, "--delay", "0.05")
    assert post(listener.url) == 202
    assert listener.stop() == 0
    assert "Nothing is verified" in listener.said
    assert "not checked (standard): no secret was given" in listener.text
    assert "timestamp" not in listener.text


def test_forwarding(listen, terminal: Terminal, tmp_path) -> None:
    """--forward passes requests on and answers as the address behind it does."""
    (tmp_path / "behind").mkdir()
    terminal.folder = tmp_path / "behind"
    behind = listen("--json", "--status", 418)
    (tmp_path / "front").mkdir()
    terminal.folder = tmp_path / "front"
    front = listen("--json", "--forward", f"{behind.url}/inner")
    assert post(front.url, **{"X-Mine": "yes"}) == 418
    [arrival] = behind.arrivals(1)
    assert (arrival["path"], arrival["body"]) == ("/inner", BODY.decode())
    assert ["x-mine", "yes"] in arrival["headers"]
    assert "as http://127.0.0.1" in front.arrivals(1)[0]["note"]


def test_usage(terminal: Terminal, listen) -> None:
    """Values that make no sense are usage errors; a port that is taken is a failure that names it."""
    for wrong in (
        ("--status", 99), ("--fail-rate", 2), ("--delay", -1), ("--profile", "nobody"), ("--forward", "localhost"),
        ("--hide", "everything"), ("--port", 70000),
    ):  # fmt: skip
        assert terminal("listen", *wrong).code == 2, wrong
    taken = listen().url.rpartition(":")[2]
    ran = terminal("listen", "--port", taken)
    assert ran.code == 1
    assert taken in ran.err


# --- standing in for a chat -------------------------------------------------------------------------------------------

CARD = {
    "attachments": [
        {
            "color": "#2eb886",
            "blocks": [
                {"type": "header", "text": {"type": "plain_text", "text": "New \x1b[2JConversion!"}},
                {"type": "section", "fields": [{"type": "mrkdwn", "text": "*Payout*\n$45.00"}]},
                {"type": "context", "elements": [{"type": "mrkdwn", "text": "<https://x.y/|Open>"}]},
            ],
        }
    ]
}


def address(listener, marks: str = "A webhook's address: ") -> str:
    return listener.said.partition(marks)[2].split()[0]


def test_a_chat_on_a_terminal(listen) -> None:
    """--as prints the address to paste, and each message as it would be read; what is refused with the reason."""
    listener = listen("--as", "slack")
    assert post(address(listener), json.dumps(CARD).encode(), **{"Content-Type": "application/json"}) == 200
    assert post(address(listener), b"{}", **{"Content-Type": "application/json"}) == 400
    assert listener.stop() == 0
    head, *lines = listener.text.splitlines()
    assert "Tocsin to #alerts" in head
    assert lines == [
        "  ┃ New \\x1b[2JConversion!",
        "  ┃ Payout",
        "  ┃ $45.00",
        "  ┃ Open (https://x.y/)",
        "",
        "REFUSED with 400 no_text: neither text nor blocks nor attachments",
    ]


def test_a_chat_as_json(listen) -> None:
    """With --json each message is one object: its text, whom it calls, where it leads, and its changes."""
    listener = listen("--as", "telegram", "--json")
    where = address(listener)
    assert post_json(where, {"text": "<b>one</b>", "parse_mode": "HTML"}) == 200
    edit = where.replace("sendMessage", "editMessageText")
    assert post_json(edit, {"text": "two", "message_id": 1}) == 200
    assert post_json(edit, {"text": "two", "message_id": 1}) == 400
    first, second, refused = listener.arrivals(3)
    assert (first["text"], first["edited"]) == ("one", False)
    assert (second["id"], second["text"], second["edits"][0]["text"]) == ("1", "two", "one")
    assert (refused["refused"], refused["status"]) == ("not_modified", 400)


def test_a_chat_that_refuses(listen) -> None:
    """--fail makes it refuse everything with one of the service's errors."""
    listener = listen("--as", "discord", "--fail", "unknown_webhook")
    for _ in range(2):
        assert post_json(address(listener), {"content": "x"}) == 404


def test_a_mailbox(listen) -> None:
    """--as smtp takes mails at the server that it names, and prints them as they would be read."""
    listener = listen("--as", "smtp", "--smtp-port", 0, "--login", "me:secret")
    where = urlsplit(address(listener, "TOCSIN_SMTP_URL="))
    assert (where.username, where.password) == ("me", "secret")
    message = EmailMessage()
    for name, value in (
        ("From", "tocsin@example.com"),
        ("To", "alerts@example.com"),
        ("Subject", "Fraud burst"),
        ("Date", "Thu, 01 Jan 2026 00:00:00 +0000"),
        ("Message-ID", "<1@example.com>"),
    ):
        message[name] = value
    message.set_content("12 clicks\n")
    with smtplib.SMTP(where.hostname or "", where.port or 0, timeout=10) as client:
        client.login("me", "secret")
        client.send_message(message)
    assert listener.stop() == 0
    assert "  Subject: Fraud burst\n" in listener.text
    assert "  12 clicks\n" in listener.text


def test_usage_of_doubles(terminal: Terminal) -> None:
    """What does not go together is a usage error; an unknown error is told with the nearest one."""
    for wrong in (
        ("--as", "teams"), ("--as", "slack", "--status", 500), ("--as", "slack", "--login", "a:b"),
        ("--fail", "no_team"), ("--as", "smtp", "--login", "me"), ("--as", "smtp", "--certificate", "nowhere.pem"),
    ):  # fmt: skip
        assert terminal("listen", *wrong).code == 2, wrong
    ran = terminal("listen", "--as", "slack", "--fail", "no_servce")
    assert ran.code == 2
    assert "'no_service'" in ran.err


def post_json(url: str, body: object) -> int:
    return post(url, json.dumps(body).encode(), **{"Content-Type": "application/json"})
