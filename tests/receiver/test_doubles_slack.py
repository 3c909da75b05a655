"""The double of Slack's incoming webhooks: what it takes, refuses, bounds, and how it shows a message."""

import json
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.doubles import rule, scene
from tocsin.clock import ManualClock
from tocsin.receiver.doubles import Shown, SlackDouble
from tocsin.receiver.doubles.display import Card, Fields, Text, runs_text
from tocsin.receiver.doubles.double import Ruling
from tocsin.receiver.doubles.slack_markup import blocks_of, runs_of


def section(text: str) -> dict:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def header(text: str) -> dict:
    return {"type": "header", "text": {"type": "plain_text", "text": text}}


def fields(*texts: str) -> dict:
    return {"type": "section", "fields": [{"type": "mrkdwn", "text": text} for text in texts]}


class Posted(NamedTuple):
    status: int
    text: str
    kind: str
    taken: list[Shown]
    ruling: Ruling


def post(payload: object) -> Posted:
    """Posts it to a double of its own, without any connection: the rules are the same."""
    double = SlackDouble()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    ruling = rule(double, "POST", urlsplit(double.address).path, body, content_type="application/json")
    reply = ruling.reply
    return Posted(reply.status, reply.body.decode(), dict(reply.headers)["Content-Type"], double.messages, ruling)


# --- limits -----------------------------------------------------------------------------------------------------------

EDGES = {
    "section": lambda n: {"blocks": [section("x" * n)]},
    "header": lambda n: {"blocks": [header("x" * n)]},
    "field": lambda n: {"blocks": [fields("x" * n)]},
    "fields": lambda n: {"blocks": [fields(*["x"] * n)]},
    "blocks": lambda n: {"blocks": [section("x")] * n},
    "context": lambda n: {"blocks": [{"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * n}]},
    "block_id": lambda n: {"blocks": [{**section("x"), "block_id": "x" * n}]},
    "button": lambda n: {
        "blocks": [{"type": "actions", "elements": [{"type": "button", "text": header("x" * n)["text"]}]}]
    },
    "url": lambda n: {
        "blocks": [
            {
                "type": "actions",
                "elements": [{"type": "button", "text": header("x")["text"], "url": "https://x.y/".ljust(n, "x")}],
            }
        ]
    },
    "markdown": lambda n: {
        "blocks": [{"type": "markdown", "text": "x" * 6_000}, {"type": "markdown", "text": "x" * (n - 6_000)}]
    },
}


@pytest.mark.parametrize(
    ("name", "most"),
    [
        ("section", 3_000),
        ("header", 150),
        ("field", 2_000),
        ("fields", 10),
        ("blocks", 50),
        ("context", 10),
        ("block_id", 255),
        ("button", 75),
        ("url", 3_000),
        ("markdown", 12_000),
    ],
)
def test_limits_of_blocks(name: str, most: int) -> None:
    """What is as large as Block Kit allows is taken; one more is invalid_blocks, and invalid_attachments within one."""
    payload = EDGES[name]
    assert post(payload(most)).text == "ok"
    posted = post(payload(most + 1))
    assert (posted.status, posted.text, posted.taken) == (400, "invalid_blocks", [])
    assert posted.ruling.name == "invalid_blocks"
    assert "json-pointer:/blocks" in posted.ruling.why
    assert post({"attachments": [payload(most)]}).text == "ok"
    assert post({"attachments": [payload(most + 1)]}).text == "invalid_attachments"


def test_limit_of_attachments() -> None:
    """A hundred attachments are taken, and no more."""
    assert post({"attachments": [{"text": "x"}] * 100}).text == "ok"
    assert post({"attachments": [{"text": "x"}] * 101}).text == "too_many_attachments"


def test_characters_are_counted_strictly() -> None:
    """An emoji beyond the basic plane counts as two, as in the strictest way of counting."""
    assert post({"blocks": [header("🔔" * 75)]}).text == "ok"
    assert post({"blocks": [header("🔔" * 76)]}).text == "invalid_blocks"


def test_long_text_is_cut() -> None:
    """Text beyond 40,000 characters is cut, not refused."""
    posted = post({"text": "x" * 40_001})
    assert (posted.text, len(posted.taken[0].text)) == ("ok", 40_000)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"{", "invalid_payload"),
        (b"", "invalid_payload"),
        (b'{"text": "a\nb"}', "invalid_payload"),
        ([], "invalid_payload"),
        ({"text": 1}, "invalid_payload"),
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"text": " "}, "no_text"),
        ({"blocks": []}, "no_text"),
        ({"blocks": {}, "text": "x"}, "invalid_blocks"),
        ({"blocks": [section("")]}, "invalid_blocks"),
        ({"blocks": [{"type": "section"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "paragraph"}]}, "invalid_blocks"),
        ({"blocks": [{**section("x"), "colour": "red"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x", "emoji": True}}]}, "invalid_blocks"),
        ({"blocks": [{"type": "context", "elements": []}]}, "invalid_blocks"),
        ({"blocks": [{**section("x"), "block_id": "a"}] * 2}, "invalid_blocks"),
        ({"blocks": [{"type": "image", "image_url": "nowhere", "alt_text": "x"}]}, "invalid_blocks"),
        ({"blocks": [{"type": "image", "image_url": "https://x.y/z.png"}]}, "invalid_blocks"),
        ({"attachments": [{}]}, "invalid_attachments"),
        ({"attachments": "x"}, "invalid_attachments"),
    ],
)
def test_what_is_malformed(payload: object, error: str) -> None:
    """What is malformed is refused with Slack's word for it as plain text, and not shown."""
    posted = post(payload)
    assert (posted.status, posted.text, posted.kind, posted.taken) == (400, error, "text/html", [])


def test_a_form() -> None:
    """The older form, with the JSON in the field `payload`, is taken as well."""

    async def play(double: SlackDouble, client: httpx.AsyncClient):
        await client.post(double.address, data={"payload": json.dumps({"text": "A & B"})})
        return double.messages[0].text

    assert scene(SlackDouble(), play) == "A & B"


# --- addresses and errors ---------------------------------------------------------------------------------------------


def test_addresses() -> None:
    """An address that is wrong in one of its parts is told so; each webhook posts to its own channel."""

    async def play(double: SlackDouble, client: httpx.AsyncClient):
        other = double.webhook("fraud")
        assert (await client.post(other, json={"text": "x"})).text == "ok"
        assert double.messages[0].chat == "#fraud"
        start = double.address.rpartition("/T")[0]
        for wrong, status, error in (
            (f"{start}/T99/B00000000/{'X' * 24}", 404, "no_team"),
            (f"{start}/T00000000/B99/{'X' * 24}", 404, "no_service"),
            (f"{start}/T00000000/B00000000/Y", 403, "invalid_token"),
            (f"{start}/T00000000", 404, "no_service_id"),
        ):
            answer = await client.post(wrong, json={"text": "x"})
            assert (answer.status_code, answer.text) == (status, error)

    scene(SlackDouble(), play)


def test_every_error_can_be_had() -> None:
    """Each error of the table comes as often as it was asked for, and then the webhook works again."""

    async def play(double: SlackDouble, client: httpx.AsyncClient):
        for name, row in double.ERRORS.items():
            if not row.status:
                continue  # no answer at all: below
            double.fail_with(name, times=2)
            for _ in range(2):
                answer = await client.post(double.address, json={"text": "x"})
                assert answer.status_code == row.status
                assert double.refused[-1].name == name
                if row.status < 500 and name != "rate_limited":
                    assert answer.text == name
        assert (await client.post(double.address, json={"text": "x"})).text == "ok"
        double.fail_with("rate_limited", times=None, retry_after=7)
        for _ in range(3):
            answer = await client.post(double.address, json={"text": "x"})
            assert answer.headers["retry-after"] == "7"
            assert answer.json() == {"retry_after": 7, "ok": False, "error": "rate_limited"}
        double.recover()
        assert (await client.post(double.address, json={"text": "x"})).text == "ok"
        with pytest.raises(ValueError, match="no error 'nonsense'"):
            double.fail_with("nonsense")

    scene(SlackDouble(), play)


def test_no_answer() -> None:
    """It can leave a request without any answer."""

    async def play(double: SlackDouble, client: httpx.AsyncClient):
        double.fail_with("no_answer")
        with pytest.raises(httpx.ReadTimeout):
            await client.post(double.address, json={"text": "x"}, timeout=0.3)

    scene(SlackDouble(), play)


def test_the_control_path() -> None:
    """What it shall answer can be told over HTTP, by those on this machine and no page from elsewhere."""

    async def play(double: SlackDouble, client: httpx.AsyncClient):
        control = f"{double.page}_double/fail"
        assert (await client.post(control, json={"name": "no_team"})).status_code == 200
        assert (await client.post(double.address, json={"text": "x"})).text == "no_team"
        assert (await client.post(control, json={"name": "nonsense"})).status_code == 422
        assert (await client.post(control, content=b'{"name": "no_team"}')).status_code == 405
        elsewhere = {"Host": "attacker.example"}
        assert (await client.post(control, json={"name": "no_team"}, headers=elsewhere)).status_code == 403
        assert (await client.get(f"{double.page}messages.json", headers=elsewhere)).status_code == 403
        await client.post(double.address, json={"text": "x *y*"})
        [message] = (await client.get(f"{double.page}messages.json")).json()
        assert message["text"] == "x y"
        assert "no_service" in (await client.get(f"{double.page}_double/errors")).json()

    scene(SlackDouble(), play)


# --- pace -------------------------------------------------------------------------------------------------------------


def test_one_a_second_with_short_bursts() -> None:
    """Five at once are tolerated, then one a second on the average; each webhook has its own limit."""
    clock = ManualClock()

    async def play(double: SlackDouble, client: httpx.AsyncClient):
        other = double.webhook("other")

        async def send(address: str) -> int:
            return (await client.post(address, json={"text": "x"})).status_code

        assert [await send(double.address) for _ in range(6)] == [200] * 5 + [429]
        assert await send(other) == 200
        clock.advance(4.9)
        answer = await client.post(double.address, json={"text": "x"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
        clock.advance(0.1)
        assert await send(double.address) == 200
        for _ in range(20):
            clock.advance(1)
            assert await send(double.address) == 200
        double.rate_limits = False
        assert [await send(double.address) for _ in range(10)] == [200] * 10

    scene(SlackDouble(clock=clock), play)


# --- what is seen -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a &amp; b &lt;c&gt;", "a & b <c>"),
        ("&amp;lt;", "&lt;"),
        ("&quot;", "&quot;"),
        ("*bold* _it_ ~no~ `a*b*`", "bold it no a*b*"),
        ("snake_case_name 2*3*4", "snake_case_name 2*3*4"),
        ("<https://x.y|label> <https://x.y>", "label https://x.y"),
        ("<https://x.y?a=1&amp;b=2|a &lt; b>", "a < b"),
        ("<mailto:a@b.c|write>", "write"),
        ("<b>", "<b>"),
        ("a < b > c", "a < b > c"),
        ("*<https://x.y|bold link>*", "bold link"),
        ("<!here> <@U1> <!subteam^S1|@team> <#C1|general>", "@here @U1 @team #general"),
        ("<!date^0^{date}|1970>", "1970"),
    ],
)
def test_markup(text: str, seen: str) -> None:
    """Markup is read as Slack reads it."""
    assert runs_text(runs_of(text)) == seen


def test_styles_links_and_mentions_are_told() -> None:
    """A person sees what is bold, where a link leads, and whom a message calls."""
    posted = post({"text": "*<https://x.y|Go>* <!channel> &lt;!here&gt;"})
    [message] = posted.taken
    assert message.links == ("https://x.y",)
    assert message.mentions == ("@channel",)
    [text] = message.blocks
    assert text.runs[0].marks == ("bold",)
    assert posted.text == "ok"


def test_quotes_and_code_stand_apart() -> None:
    """Quoted lines, written either way, and code stand as blocks of their own."""
    blocks = blocks_of("a\n> b\n&gt; c\n```x = *1*\ny```\nd")
    assert [(block.look, runs_text(block.runs)) for block in blocks] == [
        ("plain", "a"),
        ("quote", "b\nc"),
        ("pre", "x = *1*\ny"),
        ("plain", "d"),
    ]


def test_a_card_with_fields() -> None:
    """An attachment is seen as a card with its colour, and fields side by side."""
    card = {"color": "#36A64F", "blocks": [header("New &amp; shiny"), fields("*Payout*\n$45.00", "*Country*\nGermany")]}
    [message] = post({"text": "only for notifications", "blocks": [section("top")], "attachments": [card]}).taken
    top, seen = message.blocks
    assert isinstance(top, Text)
    assert isinstance(seen, Card)
    assert seen.colour == "#36a64f"
    assert isinstance(seen.blocks[1], Fields)
    assert message.text == "top\nNew & shiny\nPayout\n$45.00\nCountry\nGermany"


def test_an_older_attachment() -> None:
    """An attachment without blocks is seen with its title, text and fields."""
    [message] = post(
        {
            "attachments": [
                {
                    "fallback": "unseen",
                    "color": "danger",
                    "pretext": "Before",
                    "title": "Title",
                    "title_link": "https://x.y",
                    "text": "*Text*",
                    "fields": [{"title": "Payout", "value": "$1", "short": True}],
                    "footer": "Foot",
                }
            ]
        }
    ).taken
    assert message.text == "Before\nTitle\nText\nPayout\n$1\nFoot"
    assert message.blocks[1].colour == "#a30200"
    assert message.links == ("https://x.y",)


def test_bounded_memory() -> None:
    """Only the last messages and refusals are kept."""

    async def play(double: SlackDouble, client: httpx.AsyncClient):
        for n in range(4):
            await client.post(double.address, json={"text": str(n)})
        assert [message.text for message in double.messages] == ["2", "3"]

    scene(SlackDouble(kept=2), play)
