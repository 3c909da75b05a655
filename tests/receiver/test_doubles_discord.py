"""The double of Discord's webhooks: what it takes, refuses, bounds, and how it shows a message."""

import json
from typing import Any

import aiohttp
import discord
import httpx
import pytest

from tests.support.doubles import rule, scene
from tocsin.clock import ManualClock
from tocsin.receiver.doubles import DiscordDouble
from tocsin.receiver.doubles.discord_markup import blocks_of, runs_of
from tocsin.receiver.doubles.display import Card, runs_text

HOOK = "/api/webhooks/1111000000000000000/A-double-of-Discord-on-your-own-machine-0000000000000000000000000000"


def ask(double: DiscordDouble, method: str = "POST", path: str = "", payload: Any = None) -> tuple[int, Any, dict]:
    """One request without any connection: status, JSON, headers."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode() if payload is not None else b""
    whole = path if path.startswith("/api") else HOOK + path
    reply = rule(double, method, whole, body, content_type="application/json").reply
    return reply.status, json.loads(reply.body) if reply.body else None, dict(reply.headers)


def post(payload: Any) -> tuple[int, Any]:
    return ask(DiscordDouble(), payload=payload)[:2]


def embed(**parts: Any) -> dict:
    return {"embeds": [{"title": "x", **parts}]}


def field(name: str = "x", value: str = "x") -> dict:
    return {"name": name, "value": value}


def error(found: Any, *path: str) -> tuple[str, str]:
    assert (found["message"], found["code"]) == ("Invalid Form Body", 50035)
    within = found["errors"]
    for name in path:
        within = within[name]
    [one] = within["_errors"]
    return one["code"], one["message"]


def test_the_address() -> None:
    """The address has the form of Discord's own."""

    async def play(double: DiscordDouble, client: httpx.AsyncClient):
        assert double.address.endswith(HOOK)
        webhook = discord.SyncWebhook.from_url(double.address.replace(double.page, "https://discord.com/"))
        assert webhook.id == 1_111_000_000_000_000_000
        assert (await client.get(double.address)).json()["type"] == 1

    scene(DiscordDouble(), play)


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "most", "path"),
    [
        (lambda n: {"content": "x" * n}, 2000, ["content"]),
        (lambda n: embed(title="x" * n), 256, ["embeds", "0", "title"]),
        (lambda n: embed(description="x" * n), 4096, ["embeds", "0", "description"]),
        (lambda n: embed(footer={"text": "x" * n}), 2048, ["embeds", "0", "footer", "text"]),
        (lambda n: embed(author={"name": "x" * n}), 256, ["embeds", "0", "author", "name"]),
        (lambda n: embed(fields=[field(name="x" * n)]), 256, ["embeds", "0", "fields", "0", "name"]),
        (lambda n: embed(fields=[field(value="x" * n)]), 1024, ["embeds", "0", "fields", "0", "value"]),
        (lambda n: embed(fields=[field()] * n), 25, ["embeds", "0", "fields"]),
        (lambda n: {"embeds": [{"title": "x"}] * n}, 10, ["embeds"]),
        (lambda n: embed(url="https://x.y/".ljust(n, "x")), 2048, ["embeds", "0", "url"]),
    ],
)
def test_limits(build, most: int, path: list[str]) -> None:
    """What is as large as Discord allows is taken; one more is told where, and by how much."""
    assert post(build(most)) == (204, None)
    status, found = post(build(most + 1))
    assert status == 400
    assert error(found, *path) == ("BASE_TYPE_MAX_LENGTH", f"Must be {most} or fewer in length.")


def test_six_thousand_over_all_embeds() -> None:
    """All that is read in all embeds of a message has 6000 characters at most, together."""
    full = {"title": "x" * 200, "description": "x" * 2300, "fields": [field("x" * 100, "x" * 400)]}
    rest = [{"title": "y", "description": "x" * 2899, "footer": {"text": "x" * 50}, "author": {"name": "x" * 50}}]
    assert post({"embeds": [full, *rest]}) == (204, None)
    assert post({"content": "x" * 2000, "embeds": [full, *rest]}) == (204, None)
    rest[0]["footer"] = {"text": "x" * 51}
    status, found = post({"embeds": [full, *rest]})
    assert status == 400
    assert error(found, "embeds") == ("MAX_EMBED_SIZE_EXCEEDED", "Embed size exceeds maximum size of 6000")


def test_characters_are_counted_strictly() -> None:
    """An emoji beyond the basic plane counts as two; white space around does not count."""
    assert post(embed(title="🔔" * 128)) == (204, None)
    assert post(embed(title="🔔" * 129))[0] == 400
    assert post(embed(title=" " + "x" * 256 + " ")) == (204, None)


@pytest.mark.parametrize(
    ("payload", "path", "code"),
    [
        ([], [], "DICT_TYPE_CONVERT"),
        ({"content": 1}, ["content"], "STRING_TYPE_CONVERT"),
        ({"embeds": {}}, ["embeds"], "LIST_TYPE_CONVERT"),
        ({"embeds": [1]}, ["embeds", "0"], "MODEL_TYPE_CONVERT"),
        (embed(color=0x1000000), ["embeds", "0", "color"], "NUMBER_TYPE_MAX"),
        (embed(color=-1), ["embeds", "0", "color"], "NUMBER_TYPE_MIN"),
        (embed(color="#36a64f"), ["embeds", "0", "color"], "NUMBER_TYPE_COERCE"),
        (embed(timestamp="yesterday"), ["embeds", "0", "timestamp"], "DATE_TIME_TYPE_PARSE"),
        (embed(url="nowhere"), ["embeds", "0", "url"], "URL_TYPE_INVALID_URL"),
        (embed(url="javascript:alert(1)"), ["embeds", "0", "url"], "URL_TYPE_INVALID_SCHEME"),
        (embed(fields=[field(value=" ")]), ["embeds", "0", "fields", "0", "value"], "BASE_TYPE_REQUIRED"),
        (embed(fields=[{"name": "x"}]), ["embeds", "0", "fields", "0", "value"], "BASE_TYPE_REQUIRED"),
        ({"content": "x", "username": ""}, ["username"], "BASE_TYPE_BAD_LENGTH"),
        ({"content": "x", "username": "x" * 81}, ["username"], "BASE_TYPE_BAD_LENGTH"),
        ({"content": "x", "username": "Discord bot"}, ["username"], "USERNAME_INVALID_CONTAINS"),
        ({"content": "x", "allowed_mentions": {"parse": ["all"]}}, ["allowed_mentions", "parse", "0"],
         "BASE_TYPE_CHOICES"),
        ({"content": "x", "allowed_mentions": {"parse": ["users"], "users": ["1"]}}, ["allowed_mentions"],
         "MESSAGE_ALLOWED_MENTIONS_PARSE_EXCLUSIVE"),
    ],
)  # fmt: skip
def test_invalid_form_bodies(payload: Any, path: list[str], code: str) -> None:
    """What is malformed is refused with Discord's code, at its place."""
    status, found = post(payload)
    assert status == 400
    assert error(found, *path)[0] == code


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        ({}, 400, 50006),
        ({"content": " "}, 400, 50006),
        ({"embeds": []}, 400, 50006),
        ({"embeds": [{"color": 1}]}, 400, 50006),
        (b"{", 400, 50109),
        ({"content": "x", "thread_name": "y"}, 400, 220003),
    ],
)
def test_other_refusals(payload: Any, status: int, code: int) -> None:
    """What is empty or no JSON has codes of its own."""
    answer, found = post(payload)
    assert (answer, found["code"]) == (status, code)
    assert found["message"]


def test_content_types() -> None:
    """JSON is taken, and forms; not any other content type."""
    double = DiscordDouble()
    assert rule(double, "POST", HOOK, b"content=a+b", content_type="application/x-www-form-urlencoded").name is None
    assert double.messages[0].text == "a b"
    assert rule(double, "POST", HOOK, b'{"content":"x"}', content_type="text/plain").name == "bad_content_type"


# --- addresses, messages, threads -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (HOOK.replace("1111", "1112"), 404, 10015),
        (f"{HOOK}x", 401, 50027),
        (HOOK.replace("1111000000000000000", "mine"), 400, 50035),
        (f"{HOOK}?thread_id=7", 404, 10003),
        ("/api/hooks", 404, 0),
    ],
)
def test_addresses(path: str, status: int, code: int) -> None:
    """An address that is wrong in one of its parts is told so."""
    answer, found, _ = ask(DiscordDouble(), path=path, payload={"content": "x"})
    assert (answer, found["code"]) == (status, code)


def test_messages_can_be_read_changed_and_deleted() -> None:
    """With wait=true a message is answered, by whose id it can be had, edited and deleted."""
    clock = ManualClock()
    double = DiscordDouble(clock=clock)
    status, message, _ = ask(double, path="?wait=true", payload=embed(description="one", color=255))
    assert status == 200
    assert (message["webhook_id"], message["edited_timestamp"]) == ("1111000000000000000", None)
    assert message["embeds"] == [{"type": "rich", "title": "x", "description": "one", "color": 255}]
    where = f"/messages/{message['id']}"
    clock.advance(60)
    status, edited, _ = ask(double, "PATCH", where, {"embeds": [{"title": "two"}]})
    assert (status, edited["edited_timestamp"]) == (200, "2026-01-01T00:01:00.000000+00:00")
    assert ask(double, "GET", where)[1] == edited
    [shown] = double.messages
    assert (shown.text, [edit.text for edit in shown.edits]) == ("two", ["x\none"])
    assert ask(double, "PATCH", where, {"embeds": []})[1]["code"] == 50006
    assert ask(double, "PATCH", where, {"content": "and"})[1]["embeds"][0]["title"] == "two"
    assert ask(double, "DELETE", where)[0] == 204
    assert shown.deleted
    for method in ("GET", "PATCH", "DELETE"):
        assert ask(double, method, where, {"content": "x"})[:2] == (404, {"message": "Unknown Message", "code": 10008})


def test_threads_and_forums() -> None:
    """A message goes into a thread that is named, which a forum wants."""
    double = DiscordDouble()
    thread = double.thread("Fraud of today")
    assert ask(double, path=f"?thread_id={thread}", payload={"content": "x"})[0] == 204
    assert double.messages[0].chat == "#Fraud of today"
    forum = "/api" + double.webhook("forum", forum=True).partition("/api")[2]
    assert ask(double, path=forum, payload={"content": "x"})[1]["code"] == 220001
    assert ask(double, path=forum, payload={"content": "x", "thread_name": "New"})[0] == 204


def test_a_webhook_that_is_removed() -> None:
    """After its removal a webhook is unknown."""
    double = DiscordDouble()
    assert ask(double, "DELETE")[0] == 204
    assert ask(double, payload={"content": "x"})[1] == {"message": "Unknown Webhook", "code": 10015}


# --- limits in a time -------------------------------------------------------------------------------------------------


def test_five_in_two_seconds() -> None:
    """Five requests are taken in any two seconds, the limit's standing in the headers of each; a sixth waits."""
    clock = ManualClock(1_767_225_600_000)
    double = DiscordDouble(clock=clock)
    left = []
    for _ in range(5):
        status, _, headers = ask(double, payload={"content": "x"})
        assert (status, headers["X-RateLimit-Limit"]) == (204, "5")
        left.append(headers["X-RateLimit-Remaining"])
    assert left == ["4", "3", "2", "1", "0"]
    assert (headers["X-RateLimit-Reset-After"], headers["X-RateLimit-Reset"]) == ("2.000", "1767225602.000")
    clock.advance(0.75)
    status, body, headers = ask(double, payload={"content": "x"})
    assert (status, body) == (
        429,
        {"message": "You are being rate limited.", "retry_after": 1.25, "global": False},
    )
    assert (headers["Retry-After"], headers["X-RateLimit-Scope"], headers["X-RateLimit-Remaining"]) == (
        "2",
        "user",
        "0",
    )
    clock.advance(1.25)
    assert ask(double, payload={"content": "x"})[0] == 204
    assert ask(double, payload={})[2]["X-RateLimit-Remaining"] == "3"  # what is refused has a place too


def test_thirty_a_minute_to_a_channel() -> None:
    """A webhook's channel takes thirty messages in any minute; edits do not count there."""
    clock = ManualClock()
    double = DiscordDouble(clock=clock)
    message = ask(double, path="?wait=1", payload={"content": "x"})[1]["id"]
    for n in range(29):
        clock.advance(1)
        assert ask(double, payload={"content": "x"})[0] == 204
        assert ask(double, "PATCH", f"/messages/{message}", {"content": str(n)})[0] == 200
    clock.advance(1)
    status, body, headers = ask(double, payload={"content": "x"})
    assert (status, body["retry_after"], body["global"]) == (429, 30.0, False)
    assert headers["X-RateLimit-Scope"] == "shared"
    clock.advance(30)
    assert ask(double, payload={"content": "x"})[0] == 204
    double.rate_limits = False
    assert [ask(double, payload={"content": "x"})[0] for _ in range(40)] == [204] * 40


def test_every_error_can_be_had() -> None:
    """Each error of the table is answered with its status and, where Discord itself answers, a code and a message."""
    double = DiscordDouble()
    for name, row in double.ERRORS.items():
        double.fail_with(name)
        reply = double._told_to().reply
        assert reply.status == row.status
        if name.startswith("rate_limited"):
            body = json.loads(reply.body)
            assert isinstance(body["retry_after"], float)
            assert body["global"] is (name == "rate_limited_global")
            assert int(dict(reply.headers)["Retry-After"]) >= body["retry_after"]
        elif dict(reply.headers).get("Content-Type") == "application/json" and name != "invalid_form_body_old":
            body = json.loads(reply.body)
            assert isinstance(body["code"], int)
            assert body["message"]


def test_the_common_client_understands_it(monkeypatch) -> None:
    """discord.py sends, edits and deletes through it as through Discord, and knows its errors for what they are."""

    async def play(double: DiscordDouble, _: httpx.AsyncClient):
        monkeypatch.setattr(discord.http.Route, "BASE", f"{double.page}api/v10")
        async with aiohttp.ClientSession() as session:
            hook = discord.Webhook.partial(1_111_000_000_000_000_000, HOOK.rpartition("/")[2], session=session)
            card = discord.Embed(title="Fraud", colour=0xED4245, description="**12** clicks")
            message = await hook.send(embed=card, wait=True)
            await message.edit(content="Over", embed=None)
            assert double.messages[0].text == "Over"
            await message.delete()
            double.fail_with("unknown_webhook")
            with pytest.raises(discord.NotFound):
                await hook.send("x")
            with pytest.raises(discord.HTTPException, match="Must be 2000 or fewer"):
                await hook.send("x" * 2001)

    scene(DiscordDouble(), play)


# --- what is seen -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seen", "marks"),
    [
        ("**b** x", "b x", [("bold",), ()]),
        ("*i* _i_ snake_case_name", "i i snake_case_name", [("italic",), (), ("italic",), ()]),
        ("__u__ ~~s~~ ||h||", "u s h", [("underline",), (), ("strike",), (), ("spoiler",)]),
        ("***both***", "both", [("bold", "italic")]),
        (r"\*not\* \_it\_", "*not* _it_", [()]),
        (r"**a\*\*b**", "a**b", [("bold",)]),
        ("`a*b*`", "a*b*", [("code",)]),
        ("2 * 3 * 4", "2 * 3 * 4", [()]),
        ("<:bell:123456789012345678>", ":bell:", [()]),
        ("<t:0:R>", "01 January 1970 00:00", [()]),
    ],
)
def test_markup(text: str, seen: str, marks: list[tuple]) -> None:
    """Markdown is read as Discord reads it."""
    runs = runs_of(text)
    assert runs_text(runs) == seen
    assert [run.marks for run in runs] == marks


def test_styles_within_styles_have_an_end() -> None:
    """However deep styles are nested, a message is read; what is deeper than eight stays as it is written."""
    assert runs_text(runs_of("**__~~||x||~~__**")) == "x"
    assert "x" in runs_text(runs_of("*_" * 1000 + "x" + "_*" * 1000))


def test_links() -> None:
    """A link shows its label and leads to its address; a bare address leads to itself."""
    runs = runs_of("[Go *there*](https://x.y/a_(b)) <https://a.b> https://c.d/e.")
    assert runs_text(runs) == "Go there https://a.b https://c.d/e."
    assert [run.href for run in runs if run.href] == ["https://x.y/a_(b)"] * 2 + ["https://a.b", "https://c.d/e"]


def test_mentions_call_only_where_they_may() -> None:
    """Mentions in the content call whom allowed_mentions lets them, and in an embed nobody."""
    double = DiscordDouble()
    ask(double, payload={"content": "@everyone <@5> <@&6>"})
    ask(double, payload={"content": "@everyone <@5> <@&6>", "allowed_mentions": {"parse": []}})
    ask(double, payload={"content": "@here <@5> <@7>", "allowed_mentions": {"users": ["5"]}})
    ask(double, payload=embed(description="@everyone <@5>", fields=[field("@here", "@here")]))
    assert [message.mentions for message in double.messages] == [("@everyone", "@5", "@6"), (), ("@5",), ()]


def test_blocks() -> None:
    """Headings, quotations, lists, code and small print stand apart."""
    blocks = blocks_of("# Big\ntext\n> quoted\n- one\n- two\n-# small\n```py\nx = 1\n```\nend")
    assert [(block.look, runs_text(block.runs)) for block in blocks] == [
        ("heading", "Big"),
        ("plain", "text"),
        ("quote", "quoted"),
        ("plain", "• one\n• two"),
        ("small", "small"),
        ("pre", "x = 1"),
        ("plain", "end"),
    ]


def test_an_embed_is_a_card() -> None:
    """An embed is seen as a card with its colour, in Discord's order."""
    double = DiscordDouble()
    ask(
        double,
        payload=embed(
            title="Fraud burst",
            url="https://x.y/",
            color=0xED4245,
            author={"name": "Tocsin"},
            description="**12** clicks",
            fields=[{"name": "Campaign", "value": "Nutra", "inline": True}],
            footer={"text": "My shop"},
            timestamp="2026-01-01T12:00:00Z",
        ),
    )
    [message] = double.messages
    [card] = message.blocks
    assert isinstance(card, Card)
    assert card.colour == "#ed4245"
    assert message.text == "Tocsin\nFraud burst\n12 clicks\nCampaign\nNutra\nMy shop • 01/01/2026 12:00"
    assert message.links == ("https://x.y/",)
