"""The double of Telegram's Bot API: how it reads HTML, what it takes and refuses, its limits, and edits."""

import json
from urllib.parse import urlencode, urlsplit

import httpx
import pytest
from telegram import Bot
from telegram.error import BadRequest, ChatMigrated, Forbidden, InvalidToken, RetryAfter
from telegram.request import HTTPXRequest

from tests.support.doubles import rule, scene
from tocsin.clock import ManualClock
from tocsin.receiver.doubles import TelegramDouble
from tocsin.receiver.doubles.telegram_html import Unreadable, checked_link, parse

EVERYTHING = "<b>b</b><i>i</i><u>u</u><s>s</s><code>c</code><tg-spoiler>t</tg-spoiler>"


def send(double: TelegramDouble, given: dict, method: str = "sendMessage") -> tuple[int, dict]:
    """One call in JSON, without any connection."""
    body = json.dumps({"chat_id": 700_000_001} | given).encode()
    ruling = rule(double, "POST", f"/bot{double.bot}/{method}", body, content_type="application/json")
    return ruling.reply.status, json.loads(ruling.reply.body)


def html(text: str) -> dict:
    return {"text": text, "parse_mode": "HTML"}


# --- HTML -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "text", "entities"),
    [
        ("<b>x</b>", "x", [("bold", 0, 1)]),
        ("<STRONG>x</strong>", "x", [("bold", 0, 1)]),
        ("<em>a</em><ins>b</ins><del>c</del>", "abc", [("italic", 0, 1), ("underline", 1, 1), ("strikethrough", 2, 1)]),
        ("🔔<b>🔔</b>", "🔔🔔", [("bold", 2, 2)]),
        ("<b>a<i>b</i></b>", "ab", [("bold", 0, 2), ("italic", 1, 1)]),
        ("<b>x</>", "x", [("bold", 0, 1)]),
        ("<b></b>x", "x", []),
        ("&lt;&gt;&amp;&quot; &lt &#65;&#x42; &nbsp; &ltd; &#0;", '<>&" < AB &nbsp; &ltd; &#0;', []),
        ("a & b", "a & b", []),
        ('<span class="tg-spoiler">x</span>', "x", [("spoiler", 0, 1)]),
        ("<pre>x</pre>", "x", [("pre", 0, 1)]),
        ('<pre><code class="language-py">x</code></pre>', "x", [("pre", 0, 1, "py")]),
        ("<blockquote expandable>x</blockquote>", "x", [("expandable_blockquote", 0, 1)]),
        ('<a href="https://X.y?a=1&amp;b=2">x</a>', "x", [("text_link", 0, 1, "https://x.y?a=1&b=2")]),
        ("<a>https://x.y/</a>", "https://x.y/", [("text_link", 0, 12, "https://x.y/")]),
        ("<a href='javascript:alert(1)'>x</a>", "x", []),
        ('<a href="tg://user?id=1">x</a>', "x", [("text_mention", 0, 1)]),
        ("", "", []),
    ],
)
def test_html_is_read(source: str, text: str, entities: list[tuple]) -> None:
    """Tags become entities counted in UTF-16 units; what is no entity or address stays as text."""
    read = parse(source)
    assert read.text == text
    shown = [(one.type, one.offset, one.length, *filter(None, (one.url, one.language))) for one in read.entities]
    assert shown == entities


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("é<p>x</p>", 'Unsupported start tag "p" at byte offset 2'),
        ("a < b", 'Unsupported start tag "" at byte offset 2'),
        ("<!-- x -->", 'Unsupported start tag "!--" at byte offset 0'),
        ("x<b", "Unclosed start tag at byte offset 1"),
        ("<b>x", 'Can\'t find end tag corresponding to start tag "b"'),
        ("<b>x</i>", 'Unmatched end tag at byte offset 4, expected "</b>", found "</i>"'),
        ("x</b>", "Unexpected end tag at byte offset 1"),
        ("<b>x</b", "Unclosed end tag at byte offset 4"),
        ("<span>x</span>", 'Tag "span" must have class "tg-spoiler" at byte offset 0'),
        ("<a =x>", 'Empty attribute name in the tag "a" at byte offset 0'),
        ("<a href>x</a>", 'Expected equal sign in declaration of an attribute of the tag "a" at byte offset 0'),
        ("<a href=x_y>x</a>", "Unexpected end of name token at byte offset 8"),
        ('<a href="x', "Unclosed start tag at byte offset 0"),
        ('<a href="x"', "Unclosed start tag at byte offset 0"),
        ("<tg-emoji emoji-id='x'>x</tg-emoji>", "Invalid custom emoji identifier specified"),
    ],
)
def test_html_that_cannot_be_read(source: str, error: str) -> None:
    """What cannot be read is refused with the server's own sentence and byte offset."""
    with pytest.raises(Unreadable) as raised:
        parse(source)
    assert str(raised.value) == error
    status, answer = send(TelegramDouble(), html(source))
    assert (status, answer["ok"]) == (400, False)
    assert answer["description"] == f"Bad Request: can't parse entities: {error}"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://x.y", "https://x.y/"),
        ("x.y/a b", ""),
        ("x.y/a", "http://x.y/a"),
        ("nowhere", ""),
        ("data:text/html,x", ""),
        ("http://localhost:1/x", "http://localhost:1/x"),
    ],
)
def test_addresses_of_links(url: str, kept: str) -> None:
    """An address is kept in its normal form, or is none."""
    assert checked_link(url) == kept


# --- messages ---------------------------------------------------------------------------------------------------------


def test_a_message_and_its_answer() -> None:
    """A message is answered as the Bot API shows it, and seen without its tags."""
    double = TelegramDouble(clock=ManualClock())
    status, answer = send(double, html(" <b>Hi</b> &amp; bye @somebody "))
    assert status == 200
    assert answer == {
        "ok": True,
        "result": {
            "message_id": 1,
            "from": {"id": 110200300, "is_bot": True, "first_name": "Tocsin", "username": "tocsin_bot"},
            "chat": {"id": 700_000_001, "type": "private", "first_name": "Alex"},
            "date": 1_767_225_600,
            "text": "Hi & bye @somebody",
            "entities": [{"type": "bold", "offset": 0, "length": 2}],
        },
    }
    [message] = double.messages
    assert (message.text, message.mentions, message.chat) == ("Hi & bye @somebody", ("@somebody",), "Alex")


def test_the_length_is_counted_without_tags() -> None:
    """4096 UTF-16 units are taken, whatever the tags and entities; one more is too long."""
    double = TelegramDouble(rate_limits=False)
    for text in ("x" * 4096, "🔔" * 2048, f"<b>{'&amp;' * 4096}</b>"):
        assert send(double, html(text))[0] == 200
    for text in ("x" * 4097, "🔔" * 2048 + "x"):
        status, answer = send(double, html(text))
        assert (status, answer["description"]) == (400, "Bad Request: message is too long")


def test_a_hundred_entities() -> None:
    """What is styled beyond a hundred entities is shown without its style."""
    double = TelegramDouble()
    status, answer = send(double, html("<b>x</b>\n" * 101))
    assert (status, len(answer["result"]["entities"])) == (200, 100)
    assert double.messages[0].text == "\n".join("x" * 101)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, "message text is empty"),
        ({"text": ""}, "message text is empty"),
        ({"text": " \n "}, "message text is empty"),
        (html("<b> </b>"), "message text is empty"),
        ({"text": "x", "parse_mode": "Latex"}, "unsupported parse_mode"),
        ({"text": "x", "chat_id": 1}, "chat not found"),
        ({"text": "x", "chat_id": "somebody"}, "chat not found"),
        ({"text": "x", "chat_id": ""}, "chat_id is empty"),
    ],
)
def test_what_is_malformed(given: dict, error: str) -> None:
    """What is malformed is refused with the description that the Bot API gives."""
    status, answer = send(TelegramDouble(), given)
    assert (status, answer) == (400, {"ok": False, "error_code": 400, "description": f"Bad Request: {error}"})


def test_tags_are_text_without_a_parse_mode() -> None:
    """Without a parse mode a text is shown as it is; controls and direction overrides are taken out."""
    double = TelegramDouble()
    assert send(double, {"text": "<b>x</b>\x07\r\n\u202ey"})[0] == 200
    assert double.messages[0].text == "<b>x</b> \ny"


def test_ways_to_ask() -> None:
    """Parameters come in the query, a form or JSON; names of methods in any case; GET or POST."""
    double = TelegramDouble()
    path = urlsplit(double.address).path
    query = urlencode({"chat_id": 700_000_001, "text": "a"})
    assert rule(double, "GET", f"{path}?{query}").reply.status == 200
    form = "application/x-www-form-urlencoded"
    assert rule(double, "POST", path.replace("sendM", "SENDM"), query.encode(), content_type=form).reply.status == 200
    mixed = rule(double, "POST", f"{path}?chat_id=700000001", b'{"text": "b"}', content_type="application/json")
    assert mixed.reply.status == 200
    assert rule(double, "POST", path, b"{", content_type="application/json").name == "bad_json"
    assert [message.text for message in double.messages] == ["a", "a", "b"]


def test_edits() -> None:
    """A message can be edited, which is shown; not to what it is already, and not where it is not."""
    clock = ManualClock()
    double = TelegramDouble(clock=clock)
    send(double, html("<b>one</b>"))
    clock.advance(60)
    status, answer = send(double, html("two") | {"message_id": 1}, "editMessageText")
    assert status == 200
    assert answer["result"]["edit_date"] - answer["result"]["date"] == 60
    [message] = double.messages
    assert (message.text, [edit.text for edit in message.edits]) == ("two", ["one"])
    assert message.shown()["edited"] is True
    same = (
        "message is not modified: specified new message content and reply markup are exactly the same as a current "
        "content and reply markup of the message"
    )
    for given, error in (
        (html("two") | {"message_id": 1}, same),
        (html("x") | {"message_id": 2}, "message to edit not found"),
        (html("x"), "message identifier is not specified"),
        (html("<b>x") | {"message_id": 1}, "can't parse entities: Can't find end tag corresponding to start tag \"b\""),
    ):
        status, answer = send(double, given, "editMessageText")
        assert (status, answer["description"]) == (400, f"Bad Request: {error}")


def test_tokens_and_methods() -> None:
    """A token of the wrong form is not found, another bot's is unauthorized, as is told of unknown methods."""
    double = TelegramDouble()
    assert rule(double, "GET", "/bot123/getMe").name == "not_found"
    assert rule(double, "GET", f"/bot1:{'x' * 35}/getMe").name == "unauthorized"
    assert rule(double, "GET", f"/bot{double.bot}/sendSmoke").name == "method_not_found"
    assert json.loads(rule(double, "GET", f"/bot{double.bot}/getMe").reply.body)["result"]["is_bot"] is True
    chat = rule(double, "GET", f"/bot{double.bot}/getChat?chat_id=700000001").reply.body
    assert json.loads(chat)["result"] == {"id": 700_000_001, "type": "private", "first_name": "Alex"}


def test_a_group_that_becomes_a_supergroup() -> None:
    """After a migration the old id tells the new one, under which the chat is to be had."""
    double = TelegramDouble()
    group = double.chat("group", "Fraud desk")
    assert send(double, {"text": "x", "chat_id": group})[0] == 200
    moved = double.migrate(group)
    status, answer = send(double, {"text": "x", "chat_id": group})
    assert (status, answer["parameters"]) == (400, {"migrate_to_chat_id": moved})
    assert answer["description"] == "Bad Request: group chat was upgraded to a supergroup chat"
    assert send(double, {"text": "y", "chat_id": moved})[0] == 200
    assert double.messages[-1].chat == "Fraud desk"
    double.fail_with("migrated")
    told = json.loads(double._told_to().reply.body)["parameters"]["migrate_to_chat_id"]
    assert send(double, {"text": "z", "chat_id": told})[0] == 200


# --- limits in a time -------------------------------------------------------------------------------------------------


def test_one_a_second_to_a_chat() -> None:
    """Five at once are tolerated, then one a second on the average, and the wait is told in header and body."""
    clock = ManualClock()
    double = TelegramDouble(clock=clock)
    assert [send(double, html("x"))[0] for _ in range(6)] == [200] * 5 + [429]
    clock.advance(1.5)
    answer = send(double, html("x"))[1]
    assert answer == {
        "ok": False,
        "error_code": 429,
        "description": "Too Many Requests: retry after 4",
        "parameters": {"retry_after": 4},
    }
    clock.advance(3.5)
    assert send(double, html("x"))[0] == 200


def test_twenty_a_minute_to_a_group() -> None:
    """A group takes twenty messages in any minute, edits included."""
    clock = ManualClock()
    double = TelegramDouble(clock=clock)
    group = {"chat_id": double.chat("supergroup", "Desk")}
    for n in range(20):
        clock.advance(1)
        given = html(f"x{n}") | group
        if n % 2:
            assert send(double, given | {"message_id": (n + 1) // 2}, "editMessageText")[0] == 200
        else:
            assert send(double, given)[0] == 200
    clock.advance(1)
    status, answer = send(double, html("x") | group)
    assert (status, answer["parameters"]["retry_after"]) == (429, 40)
    assert send(double, html("x"))[0] == 200  # another chat's limit is its own
    clock.advance(40)
    assert send(double, html("x") | group)[0] == 200


def test_thirty_a_second_to_all() -> None:
    """All chats of a bot together take thirty in any second."""
    clock = ManualClock()
    double = TelegramDouble(clock=clock)
    chats = [double.chat("private", str(n)) for n in range(31)]
    assert [send(double, {"text": "x", "chat_id": chat})[0] for chat in chats] == [200] * 30 + [429]
    clock.advance(1)
    assert send(double, {"text": "x", "chat_id": chats[-1]})[0] == 200


# --- a client of others -----------------------------------------------------------------------------------------------


def test_the_common_client_understands_it(monkeypatch) -> None:
    """python-telegram-bot talks to it as to Telegram, and knows its errors for what they are."""
    monkeypatch.setenv("PTB_TIMEDELTA", "1")  # without it, it warns of what will change

    async def play(double: TelegramDouble, _: httpx.AsyncClient):
        base = f"{double.page}bot"
        chat = 700_000_001
        async with Bot(double.bot, base_url=base, request=HTTPXRequest(httpx_kwargs={"trust_env": False})) as bot:
            message = await bot.send_message(chat, f"{EVERYTHING} &lt;x&gt;", parse_mode="HTML")
            assert message.text == "biusct <x>"
            assert len(message.entities) == 6
            await bot.edit_message_text("new", chat, message.message_id)
            for name, error in (
                ("bot_blocked", Forbidden),
                ("chat_not_found", BadRequest),
                ("migrated", ChatMigrated),
                ("too_many_requests", RetryAfter),
                ("unauthorized", InvalidToken),
            ):
                double.fail_with(name)
                with pytest.raises(error):
                    await bot.send_message(chat, "x")
        assert [message.text for message in double.messages] == ["new"]
        assert double.refused[0].name == "bot_blocked"

    scene(TelegramDouble(), play)


def test_every_error_can_be_had() -> None:
    """Each error of the table is answered with its status, and in the Bot API's form where the API itself answers."""
    double = TelegramDouble()
    for name, row in double.ERRORS.items():
        double.fail_with(name)
        reply = double._told_to().reply
        assert reply.status == row.status
        if dict(reply.headers).get("Content-Type") == "application/json":
            answer = json.loads(reply.body)
            assert (answer["ok"], answer["error_code"]) == (False, row.status)
            assert answer["description"]


def test_each_chat_has_an_id_of_its_own() -> None:
    """Also where a group has moved before, and where what it moved to moves again."""
    double = TelegramDouble()
    group = double.chat("group", "Alerts")
    once = double.migrate(group)
    twice = double.migrate(once)
    assert len({group, once, twice, double.chat("supergroup", "Others")}) == 4
