"""Telegram: addresses taken apart, messages within all limits, answers read by what they mean."""

import contextlib
import html
import inspect
import json
import re
from datetime import UTC, datetime

import pytest
import telegram
from hypothesis import given
from hypothesis import strategies as st
from telegram.constants import FloodLimit, MessageLimit

from tocsin.channels import CHATS
from tocsin.channels.chat import Gone, Moved, Rejected, Retry, Sent, Stopped, Throttled
from tocsin.channels.limits import utf16
from tocsin.channels.message import Line, Link, Message, Section, Span, SpanKind, Tone
from tocsin.channels.telegram import Telegram
from tocsin.clock import Millis
from tocsin.errors import Invalid
from tocsin.model import Outcome, OutcomeKind

CHAT = Telegram()
TOKEN = "123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"
URL = f"https://api.telegram.org/bot{TOKEN}/sendMessage?chat_id=-1001234567890"
TO = CHAT.parse(URL)
CONVERSION = Message(
    title="New Conversion!",
    icon="🎉",
    tone=Tone.CONVERSION,
    at=Millis(1_767_225_600_000),
    lines=(
        Line(icon="📊", label="Campaign", value="Facebook - Weight Loss"),
        Line(icon="💰", label="Payout", value="$45.00"),
        Line(icon="🌍", label="Country", value="United States"),
        Line(icon="📱", label="Device", value="Mobile"),
    ),
)


def body_of(message, to=TO, **kwargs):
    return json.loads(CHAT.render(message, to, **kwargs).body)


def read_html(text):
    """Telegram's HTML as the Bot API reads it, strictly: the text, and python-telegram-bot's entities of it."""
    plain, entities, open_tags = "", [], []
    for part in re.split(r"(<[^<>]*>)", text):
        if not part.startswith("<"):
            assert "<" not in part
            assert ">" not in part
            assert not re.sub(r"&(amp|lt|gt|quot);", "", part).count("&")
            plain += html.unescape(part)
        elif part.startswith("</"):
            tag, at, url = open_tags.pop()
            assert part == f"</{tag}>"
            kind = {"b": "bold", "i": "italic", "code": "code", "a": "text_link"}[tag]
            assert utf16(plain) > at
            entities.append(telegram.MessageEntity(kind, at, utf16(plain) - at, url=url))
        else:
            found = re.fullmatch(r'<(?:(b|i|code)|(a) href="([^"<>]+)")>', part)
            assert found, part
            assert not open_tags
            url = found[3] and html.unescape(found[3])
            open_tags.append((found[1] or found[2], utf16(plain), url))
    assert not open_tags
    return plain, entities


def received(message):
    """The message as python-telegram-bot has it, and all that Telegram asks of it."""
    body = body_of(message)
    text, entities = read_html(body["text"])
    assert utf16(text.strip()) >= MessageLimit.MIN_TEXT_LENGTH
    assert utf16(text) <= MessageLimit.MAX_TEXT_LENGTH
    assert len(entities) <= MessageLimit.MESSAGE_ENTITIES
    got = telegram.Message(
        message_id=1,
        date=datetime.now(UTC),
        chat=telegram.Chat(id=body["chat_id"], type="supergroup"),
        text=text,
        entities=entities,
    )
    for entity, said in got.parse_entities().items():
        assert said.strip()
        if entity.type == "text_link":
            assert re.match("https?://", entity.url)
    return got


# --- the address ----------------------------------------------------------------------------------------------------


def test_an_address_is_taken_apart_and_shown_without_its_token():
    """The token stands in the address that is dialled for sending, and nowhere else."""
    assert TO.url == URL
    assert TO.shown == "https://api.telegram.org/bot***/sendMessage?chat_id=-1001234567890"
    assert TO.dial == "https://api.telegram.org/"
    assert TOKEN not in repr((TO.shown, TO.dial, TO.paces))
    assert TOKEN.split(":")[1] not in repr((TO.shown, TO.dial, TO.paces))


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        (URL, URL),
        (URL.replace("https://api.telegram.org", "HTTPS://Api.Telegram.org"), URL),
        (URL.replace(":AA", "%3AAA"), URL),
        (URL.replace("sendMessage", "sendmessage"), URL),
        (URL.replace("-1001234567890", "%40news_room"), URL.replace("-1001234567890", "@news_room")),
        (f"{URL}&message_thread_id=7&disable_notification=1", f"{URL}&message_thread_id=7&disable_notification=true"),
        ("http://127.0.0.1:8081/bot1:a/sendMessage?chat_id=5", "http://127.0.0.1:8081/bot1:a/sendMessage?chat_id=5"),
        (
            "https://bots.example/tg/bot1:abc/test/sendMessage?chat_id=5",
            "https://bots.example/tg/bot1:abc/test/sendMessage?chat_id=5",
        ),
    ],
)
def test_an_address_has_one_form_that_reads_as_itself(given_, kept):
    """Spellings of the same address are one; servers of one's own may stand behind a path and have other tokens."""
    assert CHAT.parse(given_).url == kept
    assert CHAT.parse(kept).url == kept


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (URL.partition("?")[0], "chat_id is missing"),
        (URL.replace("-1001234567890", ""), "chat_id is missing"),
        (URL.replace("-1001234567890", "{CHAT_ID}"), "chat_id is a number"),
        (URL.replace("-1001234567890", "news_room"), "chat_id is a number"),
        (URL.replace("-1001234567890", "0"), "chat_id is a number"),
        (URL.replace(TOKEN, "{TOKEN}"), "the token is not as @BotFather gives it"),
        (URL.replace(TOKEN, "123456789:short"), "the token is not as @BotFather gives it"),
        (URL.replace("/bot", "/"), "the word bot stands right before the token"),
        (URL.replace("sendMessage", "sendPhoto"), "then /sendMessage"),
        ("https://api.telegram.org/?chat_id=1", "its path is /bot"),
        (f"{URL}&text=hello", "text is set for each message"),
        (f"{URL}&parse_mode=Markdown", "parse_mode is set for each message"),
        (f"{URL}&colour=red", "'colour' is not taken"),
        (f"{URL}&chat_id=5", "chat_id stands there twice"),
        (f"{URL}&message_thread_id=main", "message_thread_id is the number of a topic"),
        (f"{URL}&disable_notification=maybe", "disable_notification is true or false"),
        (f"{URL}#here", "no part behind a #"),
        ("https://t.me/news_room", "t.me is for people"),
        ("news_room", "begins with https://"),
        ("t.me/news_room", "begins with https:// and a host; a bot cannot write to a link of t.me"),
        ("https://[::1/bot1:a/sendMessage?chat_id=1", "this is no address"),
        ("", "begins with https://"),
    ],
)
def test_an_address_of_another_form_is_refused_with_the_reason_and_the_form(url, why):
    """The sentence names what is wrong and how it should be, and holds no token."""
    with pytest.raises(Invalid) as refused:
        CHAT.parse(url)
    assert refused.value.code == "url_refused"
    [fault] = refused.value.faults
    assert fault.pointer == "/url"
    assert why in fault.detail
    assert "sendMessage?chat_id={ID}" in fault.detail
    assert TOKEN not in f"{refused.value} {fault.detail}"


@given(st.text(max_size=80) | st.text("bot0123:/?&=-@aZ%", max_size=80).map("https://api.telegram.org/".__add__))
def test_whatever_is_given_as_an_address_is_taken_or_refused(url):
    """No text makes parsing fail otherwise."""
    with contextlib.suppress(Invalid):
        address = CHAT.parse(url)
        assert CHAT.parse(address.url) == address


def test_paces_are_those_of_the_bot_and_of_the_chat():
    """Webhooks with one token share the bot's pace, those of one chat its own; groups and channels have one more."""
    person = CHAT.parse(URL.replace("-1001234567890", "77"))
    channel = CHAT.parse(URL.replace("-1001234567890", "@news_room"))
    topic = CHAT.parse(f"{URL}&message_thread_id=7")
    stranger = CHAT.parse(URL.replace("123456789", "987654321"))
    assert [(pace.key.partition(":")[0], pace.count, pace.window_s) for pace in TO.paces] == [
        ("telegram-bot", FloodLimit.MESSAGES_PER_SECOND, 1.0),
        ("telegram-chat", FloodLimit.MESSAGES_PER_SECOND_PER_CHAT, 1.0),
        ("telegram-group", FloodLimit.MESSAGES_PER_MINUTE_PER_GROUP, 60.0),
    ]
    assert person.paces[0] == TO.paces[0]
    assert [pace.key.partition(":")[0] for pace in person.paces] == ["telegram-bot", "telegram-chat"]
    assert topic.paces == TO.paces
    assert len(channel.paces) == 3
    assert not {pace.key for pace in stranger.paces} & {pace.key for pace in TO.paces}


# --- the message ----------------------------------------------------------------------------------------------------


def test_a_conversion_looks_as_the_document_shows_it():
    """The document's lines, with their icons, and bold labels."""
    assert body_of(CONVERSION)["text"] == (
        "🎉 <b>New Conversion!</b>\n\n"
        "📊 <b>Campaign:</b> Facebook - Weight Loss\n"
        "💰 <b>Payout:</b> $45.00\n"
        "🌍 <b>Country:</b> United States\n"
        "📱 <b>Device:</b> Mobile"
    )


def test_the_request_is_one_that_the_official_library_would_make():
    """Each member of the body is a parameter of the method in python-telegram-bot, and of its type."""
    to = CHAT.parse(f"{URL}&message_thread_id=7&disable_notification=true")
    sent = CHAT.render(CONVERSION, to)
    assert (sent.method, sent.url) == ("POST", URL.partition("?")[0])
    assert ("Content-Type", "application/json") in sent.headers
    body = json.loads(sent.body)
    assert {**body, "text": ""} == {
        "chat_id": -1001234567890,
        "text": "",
        "parse_mode": telegram.constants.ParseMode.HTML,
        "link_preview_options": telegram.LinkPreviewOptions(is_disabled=True).to_dict(),
        "message_thread_id": 7,
        "disable_notification": True,
    }
    assert set(body) <= set(inspect.signature(telegram.Bot.send_message).parameters)
    edited = CHAT.render(CONVERSION, to, edit="42")
    assert edited.url == URL.partition("?")[0].replace("sendMessage", "editMessageText")
    body = json.loads(edited.body)
    assert body["message_id"] == 42
    assert set(body) <= set(inspect.signature(telegram.Bot.edit_message_text).parameters)


def test_all_parts_of_a_message_have_their_place():
    """Title, text, sections, link and footer, in this order, with an empty line between."""
    message = Message(
        title="Summary",
        icon="📋",
        tone=Tone.INFO,
        at=CONVERSION.at,
        text=(
            Span(text="Sold "),
            Span(text="much", kind=SpanKind.BOLD),
            Span(text=" of "),
            Span(text="a_b", kind=SpanKind.CODE),
            Span(text="\nsee "),
            Span(text="here", kind=SpanKind.LINK, url="https://x.example/?a=1&b=2"),
        ),
        sections=(Section(heading="Campaigns", lines=(Line(label="Spring", value="3"),)),),
        link=Link(label="All of them", url="https://tocsin.example/d/1"),
        footer="Acme",
    )
    assert body_of(message)["text"] == (
        "📋 <b>Summary</b>\n\n"
        "Sold <b>much</b> of <code>a_b</code>\n"
        'see <a href="https://x.example/?a=1&amp;b=2">here</a>\n\n'
        "<b>Campaigns</b>\n"
        "• <b>Spring:</b> 3\n\n"
        '<a href="https://tocsin.example/d/1">All of them</a>\n'
        "<i>Acme</i>"
    )
    received(message)


def test_a_long_value_is_shortened_before_a_line_is_left_out():
    """Ten lines of 10,000 characters each all show their beginning."""
    long = "Kampagne 🎈 " * 1000
    message = Message(
        title="T",
        icon="🔔",
        tone=Tone.INFO,
        at=CONVERSION.at,
        lines=tuple(Line(label=f"L{number}", value=long) for number in range(20)),
        footer="Acme",
    )
    text = received(message).text
    assert all(f"L{number}: Kampagne" in text for number in range(20))
    assert text.endswith("Acme")
    assert text.count("…") == 20


def test_lines_that_do_not_fit_are_counted():
    """What is left out is the last of it, and how many lines that were is said."""
    message = Message(
        title="T",
        icon="🔔",
        tone=Tone.INFO,
        at=CONVERSION.at,
        lines=tuple(Line(label="Label" * 20, value="é" * 500) for _ in range(50)),
        footer="Acme",
    )
    text = received(message).text
    shown = text.count("LabelLabel: ") or text.count("é…")
    assert 10 < shown < 50
    assert f"\n… +{50 - shown}\n\nAcme" in text


def test_no_more_lines_than_telegram_formats():
    """Beyond 100 entities labels would not be bold any more."""
    text = received(msg(lines=(Line(label="a", value="b"),) * 200)).text
    assert text.endswith(f"\n… +{200 - text.count('a: b')}")


def test_nobody_is_mentioned_and_nothing_is_markup():
    """Mentions are taken apart without a trace to be seen; tags show as they were written."""
    value = "<b>@everyone</b> & @durov_news"
    text = received(msg(lines=(Line(label="@here", value=value),), title="@all", footer="@foot")).text
    assert "<b>@\u2060everyone</\u2060b> & @\u2060durov_news" in text
    assert not re.search(r"(?<![A-Za-z0-9])@[A-Za-z]", text)


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("evil.example/x", "evil.|example/x"),
        ("https://evil.example", "https:|//|evil.|example"),
        ("me@example.com", "me@example.|com"),
        ("#win $USD /start a/b", "#|win $|USD /|start a/b"),
        ("bücher.рф", "bücher.|рф"),
        ("tg://user?id=1", "tg:|//|user?id=1"),
        ("$45.00, 10:30, 1.5 of 3. The end", "$45.00, 10:30, 1.5 of 3. The end"),
        ("203.0.x.x", "203.0.x.x"),
    ],
)
def test_nothing_of_an_event_can_be_clicked(value, sent):
    """Telegram makes links of what looks like one; here only the message's own are."""
    assert f"L: {sent.replace('|', chr(0x2060))}" in received(msg(lines=(Line(label="L", value=value),))).text


def msg(**changes):
    return Message(**{"title": "T", "icon": "🔔", "tone": Tone.INFO, "at": CONVERSION.at} | changes)


HOSTILE = [
    "x" * 600,
    "👨‍👩‍👧‍👦" * 60,
    "</b><a href='tg://user?id=1'>x</a>",
    "&lt;&amp;&#x0;",
    "@everyone @durov",
    "שלום עולם " * 60,
    "\x00\x1b[31m\u202e\u2066",
    "\ud800",
    "",
    "   \n\n\t ",
    "\u3164\u200b",
    "a\nb\r\nc",
    "e" + "\u0301" * 50,
]
texts = st.sampled_from(HOSTILE) | st.text(max_size=60)
lines = st.builds(Line, label=texts, value=texts, icon=st.sampled_from(["", "📊", "x" * 50]))
urls = st.sampled_from(["https://x.example/", "javascript:alert(1)", "https://x/" + "a" * 1_500, 'https://x/">', ""])
spans = st.builds(
    lambda text, kind, url: Span(text=text, kind=kind, url=url if kind is SpanKind.LINK else ""),
    texts,
    st.sampled_from(SpanKind),
    urls,
)
messages = st.builds(
    Message,
    title=texts,
    icon=st.sampled_from(["🎉", "🔔"]),
    tone=st.sampled_from(Tone),
    at=st.just(CONVERSION.at),
    lines=st.lists(lines, max_size=70).map(tuple),
    text=st.lists(spans, max_size=40).map(tuple),
    sections=st.lists(st.builds(Section, heading=texts, lines=st.lists(lines, max_size=8).map(tuple)), max_size=3).map(
        tuple
    ),
    link=st.none() | st.builds(Link, label=texts, url=urls),
    footer=texts,
)


@given(messages)
def test_hostile_messages_keep_every_limit(message):
    """Whatever is in it: valid HTML, 1 to 4096 units, at most 100 entities, links to http(s) only."""
    received(message)
    assert len(body_of(message)["text"]) < 20_000


@pytest.mark.parametrize("text", ["x" * 10_000, "👨‍👩‍👧‍👦" * 10_000, "<&>" * 10_000, "@a " * 10_000, "שלום " * 10_000])
def test_text_without_end_keeps_every_limit(text):
    """Everywhere at once."""
    rows = tuple(Line(label=text, value=text) for _ in range(100))
    parts = {"title": text, "footer": text, "sections": (Section(heading=text, lines=rows),)}
    link = Link(label=text, url="https://x.example/" + "a" * 10_000)
    received(msg(lines=rows, link=link, **parts))
    received(msg(text=(Span(text=text, kind=SpanKind.BOLD), Span(text=text)) * 50, link=link, **parts))


# --- the answers ----------------------------------------------------------------------------------------------------

SEND = CHAT.render(CONVERSION, TO)
EDIT = CHAT.render(CONVERSION, TO, edit="42")
KEYS = tuple(pace.key for pace in TO.paces)


def outcome_of(status, body, headers=(), **more):
    kind = OutcomeKind.SUCCEEDED if 200 <= status < 300 else OutcomeKind.HTTP_ERROR
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Outcome(kind=kind, status_code=status, body=raw, headers=tuple(headers), **more)


def refusal(code, description, **parameters):
    said = {"ok": False, "error_code": code, "description": description}
    return outcome_of(code, said | ({"parameters": parameters} if parameters else {}))


def reading(outcome, request=SEND):
    return CHAT.read(outcome, request, TO)


def test_a_message_that_arrived_is_known_by_its_number():
    """The number is what an edit names."""
    assert reading(outcome_of(200, {"ok": True, "result": {"message_id": 7}})) == Sent(message="7")


def test_an_answer_that_was_too_long_to_be_kept_still_counts():
    """Telegram repeats the message in six bytes a letter; its beginning says enough."""
    text = {"ok": True, "result": {"message_id": 7, "from": {"id": 1}, "text": "ю" * 4096}}
    whole = json.dumps(text, separators=(",", ":")).encode()
    assert len(whole) > 16_384
    assert reading(outcome_of(200, whole[:16_384], body_truncated=True)) == Sent(message="7")


@pytest.mark.parametrize(
    ("outcome", "wait_s"),
    [
        (refusal(429, "Too Many Requests: retry after 13", retry_after=13), 13.0),
        (refusal(429, "Too Many Requests: retry after 13"), 13.0),
        (outcome_of(429, b"slow down", [("Retry-After", "8")]), 8.0),
        (outcome_of(429, b""), 30.0),
        (refusal(429, "Too Many Requests", retry_after=0), 1.0),
        (refusal(429, "Too Many Requests", retry_after=10**12), 86_400.0),
        (outcome_of(200, {"ok": False, "error_code": 429, "parameters": {"retry_after": 3}}), 3.0),
    ],
)
def test_too_fast_holds_all_that_share_the_bot_or_the_chat(outcome, wait_s):
    """For as long as Telegram says, by whichever of its three ways."""
    said = reading(outcome)
    assert isinstance(said, Throttled)
    assert (said.wait_s, said.keys) == (wait_s, KEYS)


def test_a_group_that_became_a_supergroup_moves_the_webhook():
    """The address is the same but for the chat's id."""
    outcome = refusal(
        400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=-1009876543210
    )
    to = CHAT.parse(URL.replace("-1001234567890", "-42") + "&disable_notification=true")
    said = CHAT.read(outcome, SEND, to)
    assert isinstance(said, Moved)
    assert said.url == URL.replace("-1001234567890", "-1009876543210") + "&disable_notification=true"
    assert "-1009876543210" in said.reason
    assert CHAT.parse(said.url).url == said.url


@pytest.mark.parametrize("there", [-1001234567890, 0, 10**20, "x", True, None])
def test_a_move_to_nowhere_is_none(there):
    """A group that is said to have moved to where it is, or to no id, stops: it would move for ever."""
    outcome = refusal(400, "Bad Request: group chat was upgraded to a supergroup chat", migrate_to_chat_id=there)
    assert isinstance(reading(outcome), Stopped)


@pytest.mark.parametrize(
    ("code", "description", "words"),
    [
        (401, "Unauthorized", "token is wrong, or was revoked"),
        (404, "Not Found", "No bot has this token"),
        (403, "Forbidden: bot was blocked by the user", "The person has blocked the bot"),
        (403, "Forbidden: bot was kicked from the group chat", "removed from the chat"),
        (403, "Forbidden: bot was kicked from the supergroup chat", "removed from the chat"),
        (403, "Forbidden: bot was kicked from the channel chat", "removed from the chat"),
        (403, "Forbidden: bot is not a member of the channel chat", "not in the chat"),
        (403, "Forbidden: bot is not a member of the supergroup chat", "not in the chat"),
        (403, "Forbidden: user is deactivated", "no longer exists"),
        (403, "Forbidden: bot can't initiate conversation with a user", "Press Start"),
        (403, "Forbidden: bot can't send messages to bots", "another bot's"),
        (403, "Forbidden: bots can't send messages to bots", "another bot's"),
        (403, "Forbidden: the group chat was deleted", "group was deleted"),
        (403, "Forbidden: CHAT_WRITE_FORBIDDEN", "may not write"),
        (403, "Forbidden: something that is new", "does not let the bot write"),
        (400, "Bad Request: chat not found", "no such chat"),
        (400, "Bad Request: user not found", "no such person"),
        (400, "Bad Request: PEER_ID_INVALID", "no such chat"),
        (400, "Bad Request: group is deactivated", "no longer active"),
        (400, "Bad Request: group chat was deactivated", "no longer active"),
        (400, "Bad Request: not enough rights to send text messages to the chat", "may not write"),
        (400, "Bad Request: have no rights to send a message", "may not write"),
        (400, "Bad Request: need administrator rights in the channel chat", "an administrator"),
        (400, "Bad Request: CHAT_ADMIN_REQUIRED", "an administrator"),
        (400, "Bad Request: CHAT_SEND_PLAIN_FORBIDDEN", "takes no text"),
        (400, "Bad Request: CHAT_RESTRICTED", "restricted"),
        (400, "Bad Request: message thread not found", "topic no longer exists"),
        (400, "Bad Request: TOPIC_CLOSED", "topic is closed"),
        (400, "Bad Request: TOPIC_DELETED", "topic was deleted"),
        (400, "Bad Request: group chat was upgraded to a supergroup chat", "Set its new chat_id"),
        (400, "Bad Request: chat_id is empty", "no chat_id"),
    ],
)
def test_what_can_never_arrive_stops_the_webhook_and_says_why(code, description, words):
    """In plain words, with Telegram's own behind them; the same when a proxy hides the status."""
    said = reading(refusal(code, description))
    assert isinstance(said, Stopped)
    assert words in said.reason
    assert said.reason.endswith(f" ({description}).")
    assert reading(outcome_of(200, {"ok": False, "error_code": code, "description": description})) == said


@pytest.mark.parametrize(
    "description",
    [
        "Bad Request: can't parse entities: Unsupported start tag",
        "Bad Request: message is too long",
        "Bad Request: message text is empty",
        "Bad Request: text must be non-empty",
        "Bad Request: ENTITIES_TOO_LONG",
        "Bad Request: message is not modified",  # what was sent was no edit
        "Bad Request: something that is new",
    ],
)
def test_a_message_that_is_not_taken_costs_only_itself(description):
    """Others may be taken, so the webhook stays."""
    said = reading(refusal(400, description))
    assert isinstance(said, Rejected)
    assert description in said.reason


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (refusal(400, "Bad Request: message is not modified: specified new message content …"), Sent(message="42")),
        (outcome_of(200, {"ok": True, "result": {"message_id": 42}}), Sent(message="42")),
        (outcome_of(200, {"ok": True, "result": True}), Sent(message="42")),
        (refusal(400, "Bad Request: message to edit not found"), Gone()),
        (refusal(400, "Bad Request: message can't be edited"), Gone()),
        (refusal(400, "Bad Request: MESSAGE_ID_INVALID"), Gone()),
        (refusal(400, "Bad Request: message identifier is not specified"), Gone()),
    ],
)
def test_edits_have_answers_of_their_own(outcome, expected):
    """What is the same already is done; what is gone is posted anew."""
    assert reading(outcome, EDIT) == expected


@pytest.mark.parametrize(
    "outcome",
    [
        refusal(500, "Internal Server Error"),
        refusal(502, "Bad Gateway"),
        outcome_of(502, b"<html>Bad Gateway</html>"),
        outcome_of(404, b"<html>nginx</html>"),
        outcome_of(403, b"{}"),
        outcome_of(200, b"<html>Welcome</html>"),
        outcome_of(200, b"[1]"),
        outcome_of(200, b""),
        outcome_of(302, b""),
        Outcome(kind=OutcomeKind.TIMEOUT, error="no answer within 10 s"),
        Outcome(kind=OutcomeKind.BLOCKED),
    ],
)
def test_what_is_no_word_of_telegrams_is_tried_again(outcome):
    """A proxy's page, a fault of the server, no answer: none of them says anything about the chat."""
    said = reading(outcome)
    assert isinstance(said, Retry)
    assert said.reason


@pytest.mark.parametrize("code", [400, 401, 403, 404, 429, 500])
def test_a_server_that_repeats_the_token_does_not_get_it_into_a_reason(code):
    """Reasons are shown and mailed."""
    said = reading(refusal(code, f"what is /bot{TOKEN}/sendMessage?", retry_after=2))
    assert TOKEN not in said.reason


MEMBERS = [
    "ok",
    "result",
    "message_id",
    "error_code",
    "description",
    "parameters",
    "retry_after",
    "migrate_to_chat_id",
]
answers = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.dictionaries(
        st.sampled_from(MEMBERS),
        inner,
    ),
)


@given(st.integers(100, 599), answers.map(lambda said: json.dumps(said).encode()) | st.binary(max_size=60))
def test_every_answer_has_a_reading(status, body):
    """However odd it is."""
    for request in (SEND, EDIT):
        assert isinstance(
            reading(outcome_of(status, body), request), Sent | Throttled | Stopped | Rejected | Moved | Gone | Retry
        )


def test_telegram_is_among_the_chats():
    """Under its name, and as one that can edit."""
    assert isinstance(CHATS["telegram"], Telegram)
    assert CHATS["telegram"].edits
