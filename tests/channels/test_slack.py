"""Slack: what is posted is valid by Slack's own models and limits, nothing in it is markup by accident, and every
answer leads to the right end.
"""

import html
import json
import re

import pytest
from slack_sdk.models.attachments import Attachment, AttachmentField, BlockAttachment
from slack_sdk.models.blocks import Block

from tests.channels.messages import AT, CONVERSION, HOSTILE, answer, for_any_message
from tocsin.channels import CHATS
from tocsin.channels.chat import Rejected, Retry, Sent, Stopped, Throttled
from tocsin.channels.limits import utf16
from tocsin.channels.message import Line, Link, Message, Section, Span, SpanKind, Tone
from tocsin.errors import Invalid
from tocsin.model import Outcome, OutcomeKind

SLACK = CHATS["slack"]
URL = "https://hooks.slack.com/services/T0123/B0456/secretsecretsecret"
ADDRESS = SLACK.parse(URL)
MATTERMOST = SLACK.parse("https://chat.example.com/hooks/secretkey")


def body_of(message, to=ADDRESS):
    request = SLACK.render(message, to)
    assert request.method == "POST"
    assert request.url == to.url
    assert request.timeout_s == 10
    assert ("Content-Type", "application/json") in request.headers
    return json.loads(request.body)


def attachment_of(message, to=ADDRESS):
    (attachment,) = body_of(message, to)["attachments"]
    return attachment


def blocks_of(message):
    return attachment_of(message)["blocks"]


def fields_of(message):
    return [field for block in blocks_of(message) for field in block.get("fields", [])]


def said(*spans, **changed):
    return Message(title="T", icon="🔔", tone=Tone.INFO, at=AT, text=spans, **changed)


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (URL, "https://hooks.slack.com/services/T0123/B0456/***"),
        ("https://hooks.slack-gov.com/services/T1/B2/x", "https://hooks.slack-gov.com/services/T1/B2/***"),
        ("http://127.0.0.1:8065/hooks/secretkey", "http://127.0.0.1:8065/hooks/***"),
        ("https://chat.example.com/hooks/id/token/", "https://chat.example.com/hooks/id/***"),
        (
            "https://zulip.example/api/v1/external/slack_incoming?api_key=k",
            "https://zulip.example/api/v1/external/***?***",
        ),
    ],
)
def test_any_host_that_speaks_slacks_form_is_taken(url, shown):
    """The last part of the path and all of a query are credentials."""
    address = SLACK.parse(url)
    assert address.url == address.dial == url
    assert address.shown == shown


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", "services/T"),
        ("hooks.slack.com/services/T/B/x", "services/T"),
        ("ftp://hooks.slack.com/services/T/B/x", "services/T"),
        ("https://hooks.slack.com", "names no webhook"),
        ("https://hooks.slack.com/", "names no webhook"),
        ("https://u:p@hooks.slack.com/services/T/B/x", "no user"),
        ("https://hooks.slack.com/services/T/B/x#y", "fragment"),
        ("https://hooks.slack.com/services/T/B/x y", "services/T"),
        ("https://[::1/services", "services/T"),
        ("https://hooks.slack.com/triggers/T1/2/x", "incoming webhook"),
        ("https://hooks.slack.com/workflows/T1/A2/3/x", "incoming webhook"),
        ("https://discord.com/api/webhooks/1/x/slack", "channel discord"),
    ],
)
def test_what_is_no_incoming_webhook_is_refused_with_the_form(url, hint):
    """The refusal says how such an address looks."""
    with pytest.raises(Invalid) as caught:
        SLACK.parse(url)
    assert caught.value.code == "url_refused"
    assert caught.value.faults[0].pointer == "/url"
    assert hint in caught.value.faults[0].detail


def test_one_message_a_second_for_each_address():
    """Webhooks with the same address share the pace, whose name tells nothing of it."""
    (pace,) = ADDRESS.paces
    assert (pace.count, pace.window_s) == (1, 1)
    assert pace.key == SLACK.parse(URL).paces[0].key != MATTERMOST.paces[0].key
    assert re.fullmatch("slack:[0-9a-f]{12}", pace.key)


# --- rendering ------------------------------------------------------------------------------------------------------


def test_a_conversion_looks_as_it_should():
    """Title, the document's lines with bold labels, a link, whose it is and when, in green."""
    assert body_of(CONVERSION) == {
        "attachments": [
            {
                "color": "#2ecc71",
                "fallback": "🎉 New Conversion! Campaign: Facebook - Weight Loss, Offer: Keto Diet, Payout: $45.00, "
                "Country: United States, Device: Mobile (iOS)",
                "blocks": [
                    {"type": "header", "text": {"type": "plain_text", "text": "🎉 New Conversion!", "emoji": False}},
                    {
                        "type": "section",
                        "fields": [
                            {"type": "mrkdwn", "text": text, "verbatim": True}
                            for text in (
                                "*Campaign:* Facebook - Weight Loss",
                                "*Offer:* Keto Diet",
                                "*Payout:* $45.00",
                                "*Country:* United States",
                                "*Device:* Mobile (iOS)",
                            )
                        ],
                    },
                    {
                        "type": "section",
                        "text": {
                            "type": "mrkdwn",
                            "text": "<https://tocsin.example/c/1?a=1&amp;b=2|Open the campaign>",
                            "verbatim": True,
                        },
                    },
                    {
                        "type": "context",
                        "elements": [
                            {"type": "plain_text", "text": "Acme Ads", "emoji": False},
                            {
                                "type": "mrkdwn",
                                "text": "<!date^1705329000^{date_short_pretty} {time}|2024-01-15 14:30 UTC>",
                                "verbatim": True,
                            },
                        ],
                    },
                ],
            }
        ],
        "unfurl_links": False,
        "unfurl_media": False,
        "link_names": False,
    }


@pytest.mark.parametrize(
    ("tone", "colour"),
    [(Tone.CONVERSION, "#2ecc71"), (Tone.FRAUD, "#e74c3c"), (Tone.WARNING, "#e67e22"), (Tone.INFO, "#3498db")],
)
def test_the_colour_tells_the_tone(tone, colour):
    """Green conversions, red fraud, orange warnings, blue the rest; in older attachments too."""
    message = Message(title="T", icon="🔔", tone=tone, at=AT)
    assert attachment_of(message)["color"] == attachment_of(message, MATTERMOST)["color"] == colour


@pytest.mark.parametrize(
    "value",
    [
        "*bold*",
        "snake_case _italic_",
        "~gone~",
        "`code`",
        "_",
        "a * b",
        ":tada:",
        "x :+1: y",
        "2001:db8::1",
        "see https://evil.example",
    ],
)
def test_what_slack_could_read_as_markup_goes_out_as_plain_text(value):
    """Slack has no escape for its marks, so such a line has none at all."""
    (field,) = fields_of(Message(title="T", icon="", tone=Tone.INFO, at=AT, lines=(Line(label="Name", value=value),)))
    assert field == {"type": "plain_text", "text": f"Name: {value}", "emoji": False}


@pytest.mark.parametrize("value", ["fb_us_keto_01", "10:30:45", "50 % – off", "a-b+c", "#4 (x) [y]"])
def test_harmless_text_keeps_its_bold_label(value):
    """An underscore within a word is none of Slack's marks, nor is a time an emoji."""
    (field,) = fields_of(Message(title="T", icon="", tone=Tone.INFO, at=AT, lines=(Line(label="Name", value=value),)))
    assert field == {"type": "mrkdwn", "text": f"*Name:* {value}", "verbatim": True}


def test_mentions_and_links_are_just_text():
    """The three characters that Slack's control sequences are made of are escaped."""
    line = Line(label="Name", value="<!channel> <@U1> <mailto:a@evil.example|bank> & co", icon="📊")
    (field,) = fields_of(Message(title="T", icon="", tone=Tone.INFO, at=AT, lines=(line,)))
    assert field["text"] == ("📊 *Name:* &lt;!channel&gt; &lt;@U1&gt; &lt;mailto:a@evil.example|bank&gt; &amp; co")
    assert field["verbatim"] is True


def test_right_to_left_values_stay_in_their_place():
    """They are isolated from the label before them."""
    (field,) = fields_of(
        Message(title="T", icon="", tone=Tone.INFO, at=AT, lines=(Line(label="Name", value="שלום 5"),))
    )
    assert field["text"] == "*Name:* \u2068שלום 5\u2069"


def test_a_templates_text_keeps_its_marks():
    """Bold, code and links in Slack's own marks, which hold no blanks at their ends."""
    message = said(
        Span(text="Campaign"),
        Span(text=" Keto & co ", kind=SpanKind.BOLD),
        Span(text="a_*b", kind=SpanKind.CODE),
        Span(text="\nsee "),
        Span(text="here", kind=SpanKind.LINK, url="https://x.example/?a=1&b=|"),
        Span(text=" or "),
        Span(text="nowhere", kind=SpanKind.LINK, url="javascript:alert(1)"),
    )
    assert blocks_of(message)[1] == {
        "type": "section",
        "text": {
            "type": "mrkdwn",
            "text": "Campaign *Keto &amp; co* `a_*b`\nsee <https://x.example/?a=1&amp;b=%7C|here> or nowhere",
            "verbatim": True,
        },
    }


def test_a_templates_text_with_a_value_like_markup_goes_out_plain():
    """Then the marks are gone, and links are spelled out."""
    message = said(
        Span(text="Campaign "),
        Span(text="*hot*", kind=SpanKind.BOLD),
        Span(text=" "),
        Span(text="here", kind=SpanKind.LINK, url="https://x.example/"),
    )
    assert blocks_of(message)[1]["text"] == {
        "type": "plain_text",
        "text": "Campaign *hot* here (https://x.example/)",
        "emoji": False,
    }


def test_summaries_have_headings():
    """Sections follow the lines, ten lines a block."""
    lines = tuple(Line(label=f"Campaign {n}", value=str(n)) for n in range(12))
    message = Message(title="T", icon="", tone=Tone.INFO, at=AT, sections=(Section(heading="Top", lines=lines),))
    header, first, second, _ = blocks_of(message)
    assert header["type"] == "header"
    assert first["text"] == {"type": "mrkdwn", "text": "*Top*", "verbatim": True}
    assert len(first["fields"]) == 10
    assert "text" not in second
    assert [field["text"] for field in second["fields"]] == ["*Campaign 10:* 10", "*Campaign 11:* 11"]


def test_what_does_not_fit_is_counted():
    """The last blocks say how many lines are missing, whose it is, and when."""
    lines = tuple(Line(label=f"Campaign {n}", value="x" * 5_000) for n in range(600))
    *_, missing, last = blocks_of(Message(title="T", icon="", tone=Tone.INFO, at=AT, lines=lines, footer="Acme"))
    shown = len(fields_of(Message(title="T", icon="", tone=Tone.INFO, at=AT, lines=lines)))
    assert 10 <= shown < 600
    assert missing["elements"][0]["text"] == f"… and {600 - shown} more"
    assert last["elements"][0]["text"] == "Acme"


def strings(part):
    if isinstance(part, dict):
        for value in part.values():
            yield from strings(value)
    elif isinstance(part, list):
        for value in part:
            yield from strings(value)
    elif isinstance(part, str):
        yield part


@for_any_message
def test_every_message_is_valid_by_slacks_own_models(message):
    """By slack_sdk's validation and the documented limits, whatever is in it; and nothing is lost on the way."""
    attachment = attachment_of(message)
    blocks = [Block.parse(block) for block in attachment["blocks"]]
    whole = BlockAttachment(blocks=blocks, color=attachment["color"], fallback=attachment["fallback"]).to_dict()
    assert {**whole, "text": ""} == {**attachment, "text": ""}
    assert len(blocks) <= 50
    for block in attachment["blocks"]:
        if block["type"] == "header":
            assert 1 <= utf16(block["text"]["text"]) <= 150
        elif block["type"] == "section":
            assert 1 <= utf16(block.get("text", {"text": "x"})["text"]) <= 3_000
            assert len(block.get("fields", [])) <= 10
            assert all(1 <= utf16(field["text"]) <= 2_000 for field in block.get("fields", []))
            assert block.get("text") or block.get("fields")
        else:
            assert block["type"] == "context"
            assert 1 <= len(block["elements"]) <= 10
            assert all(1 <= utf16(element["text"]) <= 3_000 for element in block["elements"])
    assert sum(map(utf16, strings(attachment["blocks"]))) <= 20_000


OURS = re.compile(r"<(?:https?://[^<>|]+\|[^<>|\n]+|!date\^[0-9]+\^\{date_short_pretty\} \{time\}\|[0-9 :-]+ UTC)>")


@for_any_message
def test_no_control_sequence_of_slacks_comes_from_outside(message):
    """In no text is there a ``<…>`` but for our links and dates, or an ``&`` but for the three entities."""
    attachment = attachment_of(message)
    for text in [*strings(attachment["blocks"]), attachment["fallback"]]:
        rest = OURS.sub("", text)
        assert "<" not in rest
        assert ">" not in rest
        assert not re.search(r"&(?!amp;|lt;|gt;)", rest)


@for_any_message
def test_no_format_comes_from_a_value(message):
    """In a field that Slack reads for marks, there are just the two around the label."""
    for field in [field for block in attachment_of(message)["blocks"] for field in block.get("fields", [])]:
        if field["type"] == "mrkdwn":
            found = re.fullmatch(r"(?:\S+ )?\*(.+?):\* (.+)", field["text"], re.DOTALL)
            assert not re.search(r"[*~`]|\b_|_\b", re.sub(r"(?<=[0-9A-Za-z])_(?=[0-9A-Za-z])", "", found[1] + found[2]))


@pytest.mark.parametrize("text", HOSTILE)
def test_long_values_end_in_an_ellipsis(text):
    """A value is cut to what can be read in a chat."""
    fields = fields_of(Message(title=text, icon="", tone=Tone.INFO, at=AT, lines=(Line(label=text, value=text),)))
    assert utf16(html.unescape(fields[0]["text"])) <= 600
    if len(text) == 10_000:
        assert fields[0]["text"].endswith("…")


# --- for those who know no blocks -------------------------------------------------------------------------------------


def test_other_hosts_get_the_older_fields():
    """Mattermost shows a message of blocks as an empty box."""
    attachment = attachment_of(CONVERSION, MATTERMOST)
    assert "blocks" not in attachment
    assert attachment["title"] == "🎉 New Conversion!"
    assert attachment["title_link"] == "https://tocsin.example/c/1?a=1&b=2"
    assert attachment["fields"][2] == {"title": "Payout", "value": "$45.00", "short": True}
    assert attachment["footer"] == "Acme Ads"
    assert attachment["ts"] == 1_705_329_000


def test_older_fields_mention_nobody():
    """Mentions and links that others read in Markdown are broken by a zero-width space."""
    line = Line(label="Name", value="@all [bank](https://evil.example) <!channel>")
    (field,) = attachment_of(Message(title="T", icon="", tone=Tone.INFO, at=AT, lines=(line,)), MATTERMOST)["fields"]
    assert field["value"] == "@\u200ball [bank]\u200b(https:\u200b//evil.example) &lt;!channel&gt;"


@for_any_message
def test_every_older_attachment_is_valid_by_slacks_own_models(message):
    """And is as bounded as the blocks are."""
    attachment = attachment_of(message, MATTERMOST)
    fields = [AttachmentField(**field) for field in attachment["fields"]]
    Attachment(**{**attachment, "fields": fields}).to_dict()
    assert not any(re.search(r"@(?!\u200b)|\]\(", text) for text in strings([attachment["fields"], attachment["text"]]))
    assert sum(map(utf16, strings(attachment))) <= 30_000


# --- answers --------------------------------------------------------------------------------------------------------


def read(outcome, to=ADDRESS):
    return SLACK.read(outcome, SLACK.render(CONVERSION, to), to)


STOPPED = {
    "channel_is_archived": (410, "archived"),
    "channel_not_found": (404, "channel is gone"),
    "user_not_found": (400, "no longer in Slack"),
    "action_prohibited": (403, "administrator"),
    "posting_to_general_channel_denied": (403, "general channel"),
    "invalid_token": (403, "token"),
    "no_service": (404, "removed or switched off"),
    "no_service_id": (404, "removed or switched off"),
    "no_active_hooks": (404, "removed or switched off"),
    "no_team": (404, "workspace"),
    "team_disabled": (403, "workspace"),
}
REJECTED = {
    "invalid_payload": 400,
    "no_text": 400,
    "missing_text_or_fallback_or_attachments": 400,
    "too_many_attachments": 400,
    "invalid_attachments": 400,
    "invalid_blocks": 400,
    "invalid_blocks_format": 400,
    "msg_too_long": 400,
    "msg_blocks_too_long": 400,
}


def test_ok_is_sent():
    """Slack says just that; others say more."""
    assert read(answer(200, "ok")) == Sent()
    assert read(answer(200, '{"success":true}')) == Sent()
    assert read(answer(204)) == Sent()


@pytest.mark.parametrize("word", STOPPED)
def test_what_mends_itself_no_more_stops_the_webhook(word):
    """With the reason, and how to mend it."""
    status, reason = STOPPED[word]
    reading = read(answer(status, word))
    assert isinstance(reading, Stopped)
    assert reason in reading.reason
    assert reading == read(answer(403, f"{word}\n")) == read(answer(400, json.dumps({"ok": False, "error": word})))
    assert reading == read(answer(200, json.dumps({"ok": False, "error": word})))


@pytest.mark.parametrize("word", REJECTED)
def test_what_is_wrong_with_one_message_fails_just_that(word):
    """The webhook goes on."""
    reading = read(answer(REJECTED[word], word))
    assert isinstance(reading, Rejected)
    assert "Slack" in reading.reason


@pytest.mark.parametrize(
    ("outcome", "reading"),
    [
        (answer(500, "rollup_error"), Retry(reason="Slack had a fault of its own (rollup_error).")),
        (answer(502, "<html>bad gateway</html>"), Retry(reason="The chat answered 502.")),
        (answer(503, "busy"), Retry(reason="The chat answered 503: busy.")),
        (answer(408), Retry(reason="The chat answered 408.")),
        (answer(403, "<html>blocked</html>"), Retry(reason="The chat answered 403.")),
        (answer(413, "large."), Rejected(reason="The chat did not take this message (answer 413: large).")),
        (answer(400, "no idea"), Rejected(reason="The chat did not take this message (answer 400: no idea).")),
        (
            answer(200, '{"success":false,"error":"no idea"}'),
            Rejected(reason="The chat did not take this message: no idea."),
        ),
        (
            answer(200, "<!doctype html>"),
            Retry(reason="A web page answered, not a chat: is this the address of an incoming webhook?"),
        ),
    ],
)
def test_other_answers(outcome, reading):
    """By their status, with what the chat says of it."""
    assert read(outcome) == reading


@pytest.mark.parametrize("status", [404, 410])
def test_an_address_that_leads_to_nothing_stops_the_webhook(status):
    """Even where the service does not say why in one of Slack's words."""
    reading = read(answer(status, '{"message":"Invalid integration id or token provided."}'), MATTERMOST)
    assert isinstance(reading, Stopped)
    assert f"answer {status}: Invalid integration id or token provided)" in reading.reason


def test_mattermost_says_an_unknown_webhook_with_400():
    """Its id for that is known."""
    body = '{"id":"web.incoming_webhook.invalid.app_error","message":"Invalid webhook.","status_code":400}'
    assert isinstance(read(answer(400, body), MATTERMOST), Stopped)


@pytest.mark.parametrize(
    ("outcome", "wait_s"),
    [
        (answer(429, "rate_limited", retry_after="30"), 30),
        (answer(429, "", Retry_After="0"), 1),
        (answer(429, ""), 30),
        (answer(429, "", Retry_After="soon"), 30),
        (answer(429, "", Retry_After="99999999"), 86_400),
        (answer(200, '{"ok":false,"error":"ratelimited"}', Retry_After="7"), 7),
    ],
)
def test_too_fast_holds_all_webhooks_of_the_address(outcome, wait_s):
    """For as long as Slack says, between a second and a day."""
    reading = read(outcome)
    assert isinstance(reading, Throttled)
    assert reading.wait_s == wait_s
    assert reading.keys == (ADDRESS.paces[0].key,)


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind not in {"succeeded", "http_error"}])
def test_no_answer_is_tried_again(kind):
    """By the schedule, with the sender's own words; but for what cannot be sent at all."""
    reading = read(Outcome(kind=kind, error="So it was."))
    assert reading == (Rejected if kind == "unsendable" else Retry)(reason="So it was.")


def test_no_reason_holds_the_credential():
    """Also where the service says the address after us."""
    reading = read(answer(404, "no hook secretsecretsecret here"))
    assert "secretsecretsecret" not in reading.reason
    assert "no hook *** here" in reading.reason


@pytest.mark.parametrize("label", ["*see*", "a|b", "https://bank.example"])
def test_a_label_like_markup_is_spelled_with_its_address(label):
    """As no label of a link can be escaped either."""
    message = Message(title="T", icon="", tone=Tone.INFO, at=AT, link=Link(label=label, url="https://x.example/a"))
    assert blocks_of(message)[1]["text"]["text"] == f"{label}: https://x.example/a"
    assert blocks_of(message)[1]["text"]["type"] == "plain_text"
