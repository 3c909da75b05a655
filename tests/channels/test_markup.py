"""The markup of templates: what is marked, what is text, and that no value becomes a mark."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tocsin.channels import markup
from tocsin.channels.message import Span, SpanKind


def bold(text):
    return Span(text=text, kind=SpanKind.BOLD)


def code(text):
    return Span(text=text, kind=SpanKind.CODE)


def link(text, url):
    return Span(text=text, kind=SpanKind.LINK, url=url)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", [Span(text="plain")]),
        ("", []),
        ("a **b** c", [Span(text="a "), bold("b"), Span(text=" c")]),
        ("**b*c**", [bold("b*c")]),
        ("`x*y**z`", [code("x*y**z")]),
        ("[a b](https://x.example/?q=1)", [link("a b", "https://x.example/?q=1")]),
        (r"[a\]b](https://x.example/a\(b\))", [link("a]b", "https://x.example/a(b)")]),
        (r"\*\*b\*\* \\", [Span(text="**b** \\")]),
        ("**b", [Span(text="**b")]),
        ("**b\nc**", [Span(text="**b\nc**")]),
        ("2 * 3 * 4", [Span(text="2 * 3 * 4")]),
        ("[a](javascript:alert)", [Span(text="[a](javascript:alert)")]),
        ("[a](https://x y)", [Span(text="[a](https://x y)")]),
        ("[a]()", [Span(text="a")]),
        ("x****y``z[](https://x.example)", [Span(text="xyz")]),
        ("[a](https://x/" + "a" * 2048 + ")", [Span(text="a")]),
        ("a\\b", [Span(text="a\\b")]),
    ],
)
def test_marks_become_spans_and_everything_else_is_text(text, expected):
    """A mark that is not complete is text; one around nothing is nothing."""
    assert list(markup.spans(text)) == expected


@given(st.text() | st.text("*`[]()\\ab \nhttps:/."))
def test_escaped_text_is_itself(text):
    """Whatever is in a value."""
    assert "".join(span.text for span in markup.spans(markup.escape(text))) == text
    assert all(span.kind is SpanKind.TEXT for span in markup.spans(markup.escape(text)))


@given(st.text("*`[]()\\ab \n"), st.text("*`[]()\\ab "))
def test_escaped_text_within_a_mark_stays_within_it(around, text):
    """A value in bold type cannot end the bold type."""
    found = markup.spans(f"**{markup.escape('x' + text)}**")
    assert found == (bold("x" + text),)
    assert markup.plain(markup.escape(around)) == around


@given(
    st.lists(st.builds(Span, text=st.text(" \n\tab\u200b\x00", max_size=6), kind=st.sampled_from(SpanKind)), max_size=8)
)
def test_cleaned_spans_read_as_one_clean_text(spans):
    """No blanks at the ends, none twice, at most one empty line; every mark has something in it."""
    found = markup.cleaned(spans)
    whole = "".join(span.text for span in found)
    assert whole == whole.strip()
    assert "  " not in whole
    assert "\n\n\n" not in whole.replace(" ", "")
    assert all(span.text for span in found)
    assert all(span.text.strip() for span in found if span.kind is not SpanKind.TEXT)
    letters = "".join(span.text for span in spans if span.text)
    assert "".join(whole.split()) == "".join(letters.replace("\u200b", "").replace("\x00", "").split())
    assert markup.cleaned(found) == found


@pytest.mark.parametrize("text", ["**a", "[a](https://", "`", "[", "****a", "\\", "**a*", "[a]", "[a](https://x["])
def test_reading_takes_time_in_proportion(text):
    """Unclosed marks, however many, are looked at once each: twice as many cost about twice, not four times."""
    markup.spans(text * 20_000)
