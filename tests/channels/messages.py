"""Messages to render: one as it should be, and any at all, with text that means no good."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tocsin.channels.message import Line, Link, Message, Section, Span, SpanKind, Tone
from tocsin.model import Outcome, OutcomeKind

AT = 1_705_329_000_000  # 2024-01-15T14:30:00Z

CONVERSION = Message(
    title="New Conversion!",
    icon="🎉",
    tone=Tone.CONVERSION,
    at=AT,
    lines=(
        Line(label="Campaign", value="Facebook - Weight Loss"),
        Line(label="Offer", value="Keto Diet"),
        Line(label="Payout", value="$45.00"),
        Line(label="Country", value="United States"),
        Line(label="Device", value="Mobile (iOS)"),
    ),
    link=Link(label="Open the campaign", url="https://tocsin.example/c/1?a=1&b=2"),
    footer="Acme Ads",
)

HOSTILE = [
    "x" * 10_000,
    "é😀" * 5_000,
    "&<>" * 4_000,
    "*_~`|" * 3_000,
    "<b>bold</b> &amp; <script>alert(1)</script>",
    "@everyone @here @channel <!channel> <!here> <!everyone> <@U123> <@123> <@&5> <#C1> <!subteam^S1>",
    "[click](https://evil.example) <https://evil.example|bank> ![](https://evil.example/i.png)",
    "*b* _i_ ~s~ `c` ```pre``` ||spoiler|| __u__ **bb** ~~ss~~",
    "# heading\n## two\n-# small\n> quote\n>>> all\n- list\n* list\n1. one",
    "<t:1618953630:R> <:smile:123> <a:dance:456> </cmd:789> <id:customize> :tada: <!date^1^x|y>",
    "https://evil.example/x_y_z http://evil.example",
    "שלום עולם \u202eabc\u202c مرحبا",
    "\u200b\u200b\u200b",
    "\x00\x07\x1b[31m\r\n\u2028",
    "\ud83d\ude00 \ud800",
    "Z̵̢͍̯" * 500,
    "👨‍👩‍👧‍👦" * 800,
    "\\*\\_\\\\",
    "",
    "   ",
]
hostile = (
    st.sampled_from([text[:700] for text in HOSTILE])
    | st.text(max_size=60)
    | st.text("*_~`|<>@#-[]():\\!&/ \nab1", max_size=40)
)
lines = st.builds(Line, label=hostile, value=hostile, icon=st.sampled_from(["", "💰", "👨‍👩‍👧‍👦", "*"]))
urls = st.sampled_from(
    [
        "https://tocsin.example/d/1",
        "https://tocsin.example/a_b?x=(1)&y=<2>|3 ü\ud800",
        "https://tocsin.example/" + "a" * 4_000,
        "javascript:alert(1)",
        "http://",
        "",
    ]
)
messages = st.builds(
    Message,
    title=hostile,
    icon=st.sampled_from(["🎉", "🚨", "", "x" * 100]),
    tone=st.sampled_from(Tone),
    at=st.integers(0, 253_402_300_799_999),
    lines=st.lists(lines, max_size=12).map(tuple),
    text=st.just(())
    | st.lists(st.builds(Span, text=hostile, kind=st.sampled_from(SpanKind), url=urls), max_size=8).map(tuple),
    sections=st.lists(
        st.builds(Section, heading=hostile, lines=st.lists(lines, max_size=6).map(tuple)), max_size=4
    ).map(tuple),
    link=st.none() | st.builds(Link, label=hostile, url=urls),
    footer=hostile,
)

# More than any service takes, in every way: each is rendered beside those that are made up.
FULL = [
    Message(title="T", icon="🔔", tone=Tone.FRAUD, at=AT, lines=(Line(label="Name", value="&😀" * 5_000),) * 600),
    Message(
        title="T", icon="", tone=Tone.INFO, at=AT, lines=(Line(label="*" * 300, value="\\_@" * 5_000, icon="💰"),) * 30
    ),
    Message(
        title="x" * 10_000,
        icon="🔔",
        tone=Tone.INFO,
        at=AT,
        sections=(Section(heading="Top " * 100, lines=(Line(label="a", value="b" * 200),) * 12),) * 60,
        link=Link(label="Open", url="https://tocsin.example/d/1"),
        footer="&" * 10_000,
    ),
    Message(
        title="T",
        icon="🔔",
        tone=Tone.INFO,
        at=AT,
        text=(Span(text="&*<@1>\n" * 2_000, kind=SpanKind.BOLD), Span(text="y"), Span(text="x" * 9_000)),
        link=Link(label="Open", url="https://tocsin.example/d/1"),
    ),
]
full = st.sampled_from(range(len(FULL))).map(FULL.__getitem__)


def for_any_message(test):
    """Runs a test of a message with the full ones and with many that are made up."""
    return settings(max_examples=100)(given(messages | full)(test))


def answer(status: int, body: str | bytes = b"", **headers: str) -> Outcome:
    """An answer as the sender tells it."""
    ok = 200 <= status < 300
    return Outcome(
        kind=OutcomeKind.SUCCEEDED if ok else OutcomeKind.HTTP_ERROR,
        status_code=status,
        headers=tuple((name.replace("_", "-"), value) for name, value in headers.items()),
        body=body.encode() if isinstance(body, str) else body,
        error=None if ok else f"The receiver answered {status}.",
    )
