"""Discord: what is posted is within its limits and valid by discord.py's own model, nothing in it is markup by
accident, and every answer leads to the right end.
"""

import json
import re

import discord
import pytest
from hypothesis import assume

from tests.channels.messages import AT, CONVERSION, HOSTILE, answer, for_any_message
from tocsin.channels import CHATS
from tocsin.channels.chat import Gone, Rejected, Retry, Sent, Stopped, Throttled
from tocsin.channels.limits import utf16
from tocsin.channels.message import Line, Message, Section, Span, SpanKind, Tone
from tocsin.errors import Invalid
from tocsin.model import Outcome, OutcomeKind

DISCORD = CHATS["discord"]
TOKEN = "aB3-_" * 12
URL = f"https://discord.com/api/webhooks/123456789012345678/{TOKEN}"
ADDRESS = DISCORD.parse(URL)
THREAD = DISCORD.parse(f"{URL}?thread_id=42")


def embed_of(message, to=ADDRESS):
    body = json.loads(DISCORD.render(message, to).body)
    assert body["allowed_mentions"] == {"parse": []}
    (embed,) = body["embeds"]
    return embed


def message_of(**changed):
    return Message(**{"title": "T", "icon": "🔔", "tone": Tone.INFO, "at": AT, **changed})


def value_of(value):
    return embed_of(message_of(lines=(Line(label="Name", value=value),)))["fields"][0]["value"]


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "url", "shown"),
    [
        (URL, URL, "https://discord.com/api/webhooks/123456789012345678/***"),
        (f"{URL}/", URL, "https://discord.com/api/webhooks/123456789012345678/***"),
        (f"{URL}?wait=true", URL, "https://discord.com/api/webhooks/123456789012345678/***"),
        (
            f"{URL}?wait=false&thread_id=42",
            f"{URL}?thread_id=42",
            "https://discord.com/api/webhooks/123456789012345678/***?thread_id=42",
        ),
        (
            "https://ptb.discord.com/api/v10/webhooks/1/t",
            "https://ptb.discord.com/api/v10/webhooks/1/t",
            "https://ptb.discord.com/api/v10/webhooks/1/***",
        ),
        (
            "http://127.0.0.1:9000/api/webhooks/1/t",
            "http://127.0.0.1:9000/api/webhooks/1/t",
            "http://127.0.0.1:9000/api/webhooks/1/***",
        ),
    ],
)
def test_any_host_that_speaks_discords_form_is_taken(given, url, shown):
    """With a version or none; a thread is kept, and the token masked."""
    address = DISCORD.parse(given)
    assert address.url == url
    assert address.shown == shown
    assert address.dial == url.partition("?")[0]


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", "api/webhooks/{ID}/{TOKEN}"),
        ("https://discord.com/channels/1/2", "no address of a Discord webhook"),
        ("https://discord.com/api/webhooks/1", "no address of a Discord webhook"),
        ("https://discord.com/api/webhooks/one/t", "no address of a Discord webhook"),
        ("https://discord.com/api/webhooks/1/t/slack", "leave out /slack"),
        ("https://discord.com/api/webhooks/1/t/github", "leave out /github"),
        ("https://discord.com/api/webhooks/1/t?with_components=true", "only thread_id"),
        ("https://discord.com/api/webhooks/1/t?thread_id=x", "only thread_id"),
        ("https://discord.com/api/webhooks/1/t?thread_id=", "only thread_id"),
        ("https://discord.com/api/webhooks/1/t#x", "fragment"),
        ("https://u@discord.com/api/webhooks/1/t", "no user"),
    ],
)
def test_what_is_no_webhook_is_refused_with_the_form(url, hint):
    """The refusal says how such an address looks, or what to leave out."""
    with pytest.raises(Invalid) as caught:
        DISCORD.parse(url)
    assert caught.value.code == "url_refused"
    assert caught.value.faults[0].pointer == "/url"
    assert hint in caught.value.faults[0].detail


def test_paces_are_shared_by_webhook_and_by_host():
    """One a second and 30 a minute for a webhook, in whatever thread; 50 a second for all on the host."""
    assert [(pace.count, pace.window_s) for pace in ADDRESS.paces] == [(1, 1), (30, 60), (50, 1)]
    assert ADDRESS.paces == THREAD.paces
    other = DISCORD.parse("https://discord.com/api/webhooks/1/t")
    assert [pace.key == mine.key for pace, mine in zip(other.paces, ADDRESS.paces, strict=True)] == [False, False, True]
    assert len({pace.key for pace in ADDRESS.paces}) == 3
    assert not any(TOKEN in pace.key or "123456789012345678" in pace.key for pace in ADDRESS.paces)


# --- requests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("to", "edit", "method", "url"),
    [
        (ADDRESS, None, "POST", f"{URL}?wait=true"),
        (THREAD, None, "POST", f"{URL}?wait=true&thread_id=42"),
        (ADDRESS, "99", "PATCH", f"{URL}/messages/99"),
        (THREAD, "99", "PATCH", f"{URL}/messages/99?thread_id=42"),
    ],
)
def test_messages_are_posted_and_edited_where_they_belong(to, edit, method, url):
    """A post waits for the message, whose name an edit needs; both name the thread."""
    request = DISCORD.render(CONVERSION, to, edit=edit)
    assert (request.method, request.url, request.timeout_s) == (method, url, 10)
    assert dict(request.headers)["Content-Type"] == "application/json"
    assert re.fullmatch(r"DiscordBot \(Tocsin, [0-9.]+\)", dict(request.headers)["User-Agent"])


def test_a_conversion_looks_as_it_should():
    """A green embed with the lines side by side, a link, whose it is and when."""
    assert embed_of(CONVERSION) == {
        "title": "🎉 New Conversion!",
        "color": 0x2ECC71,
        "timestamp": "2024-01-15T14:30:00.000Z",
        "description": "[Open the campaign](https://tocsin.example/c/1?a=1&b=2)",
        "footer": {"text": "Acme Ads"},
        "fields": [
            {"name": "Campaign", "value": "Facebook - Weight Loss", "inline": True},
            {"name": "Offer", "value": "Keto Diet", "inline": True},
            {"name": "Payout", "value": "$45.00", "inline": True},
            {"name": "Country", "value": "United States", "inline": True},
            {"name": "Device", "value": "Mobile (iOS)", "inline": True},
        ],
    }


@pytest.mark.parametrize(
    ("tone", "colour"),
    [(Tone.CONVERSION, 0x2ECC71), (Tone.FRAUD, 0xE74C3C), (Tone.WARNING, 0xE67E22), (Tone.INFO, 0x3498DB)],
)
def test_the_colour_tells_the_tone(tone, colour):
    """Green conversions, red fraud, orange warnings, blue the rest."""
    assert embed_of(message_of(tone=tone))["color"] == colour


@pytest.mark.parametrize(
    ("value", "escaped"),
    [
        ("*i* **b** _i_ __u__ ~~s~~ ||x|| `c`", r"\*i\* \*\*b\*\* \_i\_ \_\_u\_\_ \~\~s\~\~ \|\|x\|\| \`c\`"),
        ("[bank](https://evil.example)", r"\[bank\](https\://evil.example)"),
        ("@everyone @here <@1> <@&2> <#3>", r"\@everyone \@here \<\@1\> \<\@&2\> \<#3\>"),
        (
            "<t:1:R> <:smile:1> <a:x:2> </cmd:3> <id:browse>",
            r"\<t:1:R\> \<:smile:1\> \<a:x:2\> \</cmd:3\> \<id:browse\>",
        ),
        ("# big", r"\# big"),
        ("### big", r"\### big"),
        ("-# small", r"\-# small"),
        ("- item", r"\- item"),
        ("+ item", r"\+ item"),
        ("1. item", r"1\. item"),
        ("> quote", r"\> quote"),
        ("a\\*b", r"a\\\*b"),
        ("Facebook - Weight Loss (v1.2) #4 +5 10:30", "Facebook - Weight Loss (v1.2) #4 +5 10:30"),
        ("-5.5", "-5.5"),
        ("$45.00", "$45.00"),
    ],
)
def test_markdown_in_a_value_is_just_text(value, escaped):
    """Backslashes before what Discord would read, and only there."""
    assert value_of(value) == escaped


def test_right_to_left_values_stay_in_their_place():
    """They are isolated; the footer, which knows no Markdown, too."""
    assert value_of("שלום 5") == "\u2068שלום 5\u2069"
    assert embed_of(message_of(footer="*שלום*"))["footer"]["text"] == "\u2068*שלום*\u2069"


def test_a_templates_text_keeps_its_marks():
    """Bold, code and links in Discord's own Markdown, which hold no blanks at their ends; what is inside is escaped."""
    message = message_of(
        text=(
            Span(text="Campaign"),
            Span(text=" *Keto* ", kind=SpanKind.BOLD),
            Span(text="a_*b", kind=SpanKind.CODE),
            Span(text="\n- see "),
            Span(text="[here]", kind=SpanKind.LINK, url="https://x.example/?a=(1)"),
            Span(text=" or "),
            Span(text="nowhere", kind=SpanKind.LINK, url="javascript:alert(1)"),
        ),
        link=CONVERSION.link,
    )
    assert embed_of(message)["description"] == (
        "Campaign **\\*Keto\\*** `a_*b`\n\\- see [\\[here\\]](https://x.example/?a=%281%29) or nowhere\n\n"
        "[Open the campaign](https://tocsin.example/c/1?a=1&b=2)"
    )
    assert "fields" not in embed_of(message)


def test_summaries_have_headings():
    """A section is one field, as wide as the message."""
    lines = tuple(Line(label=f"Campaign {n}", value=f"{n} events") for n in range(3))
    assert embed_of(message_of(sections=(Section(heading="Top", lines=lines),)))["fields"] == [
        {
            "name": "Top",
            "value": "**Campaign 0:** 0 events\n**Campaign 1:** 1 events\n**Campaign 2:** 2 events",
            "inline": False,
        }
    ]


def test_what_does_not_fit_is_counted():
    """Of a section in its last line; of a message in its last field."""
    lines = tuple(Line(label="Name", value="x" * 90) for _ in range(40))
    (field,) = embed_of(message_of(sections=(Section(heading="Top", lines=lines),)))["fields"]
    assert field["value"].count("**Name:**") == 9
    assert field["value"].endswith("\n… and 31 more")
    fields = embed_of(message_of(lines=lines))["fields"]
    assert len(fields) == 25
    assert fields[-1] == {"name": "…", "value": "and 16 more", "inline": False}


def test_exactly_as_many_fields_as_discord_takes():
    """25 lines need no word that there is more."""
    fields = embed_of(message_of(lines=tuple(Line(label=f"N{n}", value="x") for n in range(25))))["fields"]
    assert [field["name"] for field in fields] == [f"N{n}" for n in range(25)]


def texts_of(embed):
    yield embed["title"]
    yield embed.get("description", "")
    for field in embed.get("fields", []):
        yield field["name"]
        yield field["value"]


@for_any_message
def test_every_message_is_within_discords_limits(message):
    """Each part, all together, and as discord.py's own model counts; and the model reads back what was written."""
    embed = embed_of(message)
    assert 1 <= utf16(embed["title"].strip()) <= 256
    assert utf16(embed.get("description", "x").strip()) in range(1, 4_097)
    assert len(embed.get("fields", [])) <= 25
    for field in embed.get("fields", []):
        assert 1 <= utf16(field["name"].strip()) <= 256
        assert 1 <= utf16(field["value"].strip()) <= 1_024
    assert utf16(embed.get("footer", {"text": "x"})["text"]) in range(1, 2_049)
    footer = embed.get("footer", {"text": ""})["text"]
    assert sum(map(utf16, texts_of(embed))) + utf16(footer) <= 6_000
    model = discord.Embed.from_dict(embed)
    assert len(model) <= 6_000
    again = model.to_dict()
    assert again.pop("type", None) is None
    again.pop("flags", None)
    assert discord.utils.parse_time(again.pop("timestamp")) == discord.utils.parse_time(embed["timestamp"])
    assert again == {name: value for name, value in embed.items() if name != "timestamp"}


LINK = re.compile(r"\[(?:\\.|[^\\\[\]])*\]\(https?://[^()\s]+\)")
BOLD = re.compile(r"\*\*")
ESCAPE = re.compile(r"\\[^0-9A-Za-z\s]")


@for_any_message
def test_no_markup_comes_from_outside(message):
    """What is left without escapes, our links and bold, holds none of Discord's marks. In code there are no escapes."""
    assume(not any(span.kind is SpanKind.CODE for span in message.text))
    for text in texts_of(embed_of(message)):
        rest = BOLD.sub("", ESCAPE.sub("¤", LINK.sub("¤", text)))
        assert not re.search(r"[*_~|`\[\]<>@\\]|://", rest)
        assert not re.search(r"^\s*(?:#{1,3}\s|-#|[-+]\s|[0-9]+\.\s)", rest, re.MULTILINE)


@pytest.mark.parametrize("text", HOSTILE)
def test_long_values_end_in_an_ellipsis(text):
    """A value is cut to what can be read in a chat, never within an escape."""
    value = value_of(text)
    assert utf16(value) <= 502
    if len(text) >= 9_000:
        assert value.endswith("…")
        assert not re.search(r"(?<!\\)(?:\\\\)*\\…$", value)


# --- answers --------------------------------------------------------------------------------------------------------


def read(outcome, to=ADDRESS, edit=None):
    return DISCORD.read(outcome, DISCORD.render(CONVERSION, to, edit=edit), to)


def coded(status, code, message="Said so", **headers):
    return answer(status, json.dumps({"message": message, "code": code}), **headers)


HOOK, _, HOST = (pace.key for pace in ADDRESS.paces)


@pytest.mark.parametrize(
    ("outcome", "reading"),
    [
        (answer(200, '{"id":"1234","content":""}'), Sent(message="1234")),
        (answer(204), Sent()),
        (answer(200, '{"id":1234}'), Sent()),
        (answer(200, '{"id":"1/../2"}'), Sent()),
        (
            answer(200, '{"id":"1"}', X_RateLimit_Remaining="0", X_RateLimit_Reset_After="1.25"),
            Sent(message="1", hold_s=1.25, keys=(HOOK,)),
        ),
        (answer(200, '{"id":"1"}', X_RateLimit_Remaining="3", X_RateLimit_Reset_After="1.25"), Sent(message="1")),
        (answer(200, '{"id":"1"}', X_RateLimit_Remaining="0"), Sent(message="1")),
    ],
)
def test_a_success_names_the_message_and_may_ask_for_a_pause(outcome, reading):
    """When the headers say that nothing is left, the webhook waits until its bucket is full again."""
    assert read(outcome) == read(outcome, edit="1") == reading


LIMITED = '{"message":"You are being rate limited.","retry_after":%s,"global":%s}'


@pytest.mark.parametrize(
    ("outcome", "wait_s", "keys"),
    [
        (answer(429, LIMITED % ("0.427", "false"), Retry_After="1"), 0.427, (HOOK,)),
        (answer(429, LIMITED % ("64.57", "true"), X_RateLimit_Global="true"), 64.57, (HOST,)),
        (answer(429, LIMITED % ("1336.57", "false"), X_RateLimit_Scope="shared"), 1336.57, (HOOK,)),
        (answer(429, LIMITED % ("0.2", "true")), 1, (HOST,)),
        (answer(429, '{"message":"slow"}', Retry_After="65"), 65, (HOOK,)),
        (answer(429, '{"message":"slow"}', X_RateLimit_Reset_After="6.5"), 6.5, (HOOK,)),
        (answer(429, '{"message":"slow"}'), 30, (HOOK,)),
        (answer(429, '{"retry_after":"x","code":20028}', Retry_After="2"), 2, (HOOK,)),
        (answer(429, LIMITED % ("1e9", "false")), 86_400, (HOOK,)),
        (answer(429, "<html>error code: 1015</html>", Retry_After="3600"), 3600, (HOST,)),
        (answer(429, "error code: 1015"), 600, (HOST,)),
        (coded(400, 20016), 30, (HOOK,)),
    ],
)
def test_too_fast_holds_those_who_share_the_limit(outcome, wait_s, keys):
    """The webhook, or all on the host where the limit is of the server's own address."""
    reading = read(outcome)
    assert isinstance(reading, Throttled)
    assert (reading.wait_s, reading.keys) == (wait_s, keys)
    assert reading == read(outcome, edit="1")


@pytest.mark.parametrize(
    ("status", "code", "reason"),
    [
        (404, 10003, "channel or thread is gone"),
        (404, 10004, "server is gone"),
        (404, 10015, "deleted in Discord"),
        (404, 10016, "deleted in Discord"),
        (401, 40001, "token"),
        (403, 50001, "permissions"),
        (400, 50008, "takes no messages"),
        (403, 50013, "permissions"),
        (401, 50014, "token"),
        (400, 50024, "takes no messages"),
        (401, 50027, "token"),
        (400, 50041, "version"),
        (400, 50083, "archived"),
        (400, 160005, "locked"),
        (400, 220001, "?thread_id={ID}"),
        (400, 220004, "forum"),
        (401, 0, "no webhook at this address"),
        (404, 0, "no webhook at this address"),
        (403, 99999, "no webhook at this address"),
        (405, 0, "no webhook at this address"),
    ],
)
def test_what_mends_itself_no_more_stops_the_webhook(status, code, reason):
    """With the reason, and how to mend it. Discord bans those who go on trying."""
    reading = read(coded(status, code))
    assert isinstance(reading, Stopped)
    assert reason in reading.reason


@pytest.mark.parametrize("code", [0, 20009, 40005, 50006, 50035, 50109, 200000, 200001, 240000, 99999])
def test_what_is_wrong_with_one_message_fails_just_that(code):
    """The webhook goes on."""
    assert isinstance(read(coded(400, code)), Rejected)


def test_an_invalid_form_says_what_of_it():
    """The first of Discord's nested errors, in its words."""
    body = {
        "code": 50035,
        "message": "Invalid Form Body",
        "errors": {"embeds": {"0": {"title": {"_errors": [{"code": "BASE_TYPE_MAX_LENGTH", "message": "Too long."}]}}}},
    }
    assert read(answer(400, json.dumps(body))).reason == "Discord did not take this message (embeds.0.title: Too long)."
    assert read(coded(400, 50035)).reason == "Discord did not take this message: Said so."
    flat = {"code": 50035, "errors": {"_errors": [{"message": "Bad."}]}}
    assert read(answer(400, json.dumps(flat))).reason == "Discord did not take this message (Bad)."
    assert read(answer(400, '{"embeds": ["0"]}')).reason == "Discord did not take this message (embeds: 0)."


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (answer(502, "<html>"), "Discord answered 502."),
        (coded(500, 0), "Discord answered 500: Said so."),
        (coded(503, 130000), "Discord is overloaded."),
        (coded(403, 40333), "Cloudflare, which stands before Discord, blocked the request."),
        (coded(400, 40004), "Discord has switched off sending messages for a while."),
        (answer(403, "<html>"), "Discord answered 403."),
        (answer(408), "Discord answered 408."),
        (answer(200, "<!doctype html>"), "A web page answered, not Discord: is this the address of a webhook?"),
    ],
)
def test_what_may_pass_is_tried_again(outcome, reason):
    """By the schedule."""
    assert read(outcome) == Retry(reason=reason)


@pytest.mark.parametrize(
    ("status", "code"), [(404, 10008), (400, 30046), (429, 30046), (403, 50005), (400, 50083), (404, 0)]
)
def test_a_message_that_cannot_be_edited_any_more_is_gone(status, code):
    """It is posted as a new one."""
    assert read(coded(status, code), edit="1") == Gone()
    assert read(coded(status, code)) != Gone()


def test_an_edit_too_finds_the_webhook_deleted():
    """Then there is nowhere to post it anew."""
    assert isinstance(read(coded(404, 10015), edit="1"), Stopped)
    assert isinstance(read(coded(401, 50027), edit="1"), Stopped)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind not in {"succeeded", "http_error"}])
def test_no_answer_is_tried_again(kind):
    """By the schedule, with the sender's own words; but for what cannot be sent at all."""
    assert read(Outcome(kind=kind, error="So it was.")) == (Rejected if kind == "unsendable" else Retry)(
        reason="So it was."
    )


def test_no_reason_holds_the_credential():
    """Also where the service says the address after us."""
    reading = read(coded(404, 0, f"no hook {TOKEN}"))
    assert TOKEN not in reading.reason
    assert "no hook ***" in reading.reason
