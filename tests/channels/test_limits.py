"""Hostile text: cleaned of what is not seen, and cut without being broken."""

import html
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wcwidth import iter_graphemes

from tocsin.channels.limits import ELLIPSIS, MAX_TEXT, clean, cut, fit, isolate, utf16, web_url

FAMILY = "👨‍👩‍👧‍👦"
ENGLAND = "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
PIECES = [
    "a",
    "é",
    "e\u0301",
    "👍🏽",
    FAMILY,
    ENGLAND,
    "🇩🇪",
    "1️⃣",
    "한",
    "नि",
    "שלום",
    "&",
    "<b>",
    "@everyone",
    " ",
    "𝒳",
]
breaks = st.text("ab \t\n\r\v\u2028\u3000\u200b", max_size=12)
texts = st.lists(st.sampled_from(PIECES) | st.text(max_size=3), max_size=40).map("".join)


def escaped(text):
    return utf16(html.escape(text))


# --- cutting --------------------------------------------------------------------------------------------------------


@given(texts, st.integers(0, 60), st.sampled_from([utf16, len, escaped]))
def test_cut_text_keeps_the_limit_and_whole_graphemes(text, units, measure):
    """However it is measured: it fits, is a beginning of the text, and ends where a grapheme does."""
    short = cut(text, units, measure)
    assert measure(short) <= units
    if measure(text) <= units:
        assert short == text
    elif short:
        kept = short.removesuffix(ELLIPSIS)
        assert short != kept
        assert text.startswith(kept)
        graphemes, ends, end = list(iter_graphemes(text)), {0}, 0
        for grapheme in graphemes:
            ends.add(end := end + len(grapheme))
        blanks = len(text[len(kept) :]) - len(text[len(kept) :].lstrip())
        assert any(len(kept) + n in ends for n in range(blanks + 1))


@pytest.mark.parametrize(
    ("text", "units", "short"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdef", 5, "abcd…"),
        ("abc def", 5, "abc…"),
        ("ab😀", 4, "ab😀"),
        ("ab😀c", 4, "ab…"),
        (FAMILY * 2, 12, FAMILY + "…"),
        ("x" + FAMILY, 11, "x…"),
        ("🇩🇪🇫🇷", 7, "🇩🇪…"),
        ("ee\u0301x", 3, "e…"),
        (ENGLAND + ENGLAND, 20, ENGLAND + "…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("", 0, ""),
    ],
)
def test_cutting_by_example(text, units, short):
    """An ellipsis says that something is missing, and counts."""
    assert cut(text, units) == short


def test_what_is_cut_before_it_is_escaped_holds_whole_entities():
    """Measured as it will be, so that nothing has to be cut behind the escape."""
    assert html.escape(cut("a&&&&", 10, escaped)) == "a&amp;…"


def test_a_long_text_is_not_looked_at_as_a_whole():
    """What cannot fit is not measured either: beyond the limit there may be megabytes."""
    seen = []
    cut("x" * 1_000_000, 100, lambda text: seen.append(len(text)) or len(text))
    assert sum(seen) < 300


# --- cleaning -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("two\r\nlines\u2028and\x85more", "two lines and more"),
        ("  much \t  blank\u3000here ", "much blank here"),
        ("bell\x07 and \x1b[31mred", "bell and [31mred"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("\u2066in\u2069 \u202bout\u202c", "in out"),
        ("@every\u200bone \u2060x\ufeff", "@everyone x"),
        ("soft\u00adhyphen", "softhyphen"),
        ("empty\u3164letters", "emptyletters"),
        ("half \ud83d of a pair", "half \ufffd of a pair"),
        ("hidden\U000e0061\U000e0062 words", "hidden words"),
        ("a\u200d\u200d\u200d\u200d\u200db", "a\u200d\u200db"),
        ("Z" + "\u0335" * 40 + "!", "Z" + "\u0335" * 8 + "!"),
        ("\u200b\u200b", ""),
        ("", ""),
    ],
)
def test_what_is_not_seen_is_taken_out(text, cleaned):
    """Breaks, controls, overrides of direction, zero-width characters and heaps of marks."""
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    "text",
    [
        "Facebook – Weight Loss",
        "שלום עולם 123",
        "مرحبا بالعالم",
        "می\u200cخواهم",  # Persian: a non-joiner belongs to the word
        "क्\u200dष",
        "བསྒྲུབས",
        "Tiếng Việt",
        "e\u0301",
        FAMILY,
        ENGLAND,
        "🇩🇪 ❤️‍🔥 1️⃣ 👍🏽",
        "葛\U000e0100飾区",
        "\u200fעברית\u200f",
    ],
)
def test_what_can_be_read_stays(text):
    """All writing, with the invisible characters that belong to it."""
    assert clean(text) == text
    assert clean(text, lines=True) == text


def test_text_of_several_lines_keeps_them():
    """And at most one empty line between two."""
    assert clean(" a \r\n \tb\n\n\n\n \n c\t\n", lines=True) == "a\nb\n\nc"


def test_a_megabyte_is_cut_at_once():
    """Beyond what any chat shows nothing is looked at, and an ellipsis says so."""
    text = clean("é" * 1_000_000)
    assert len(text) == MAX_TEXT + 1
    assert text.endswith(ELLIPSIS)


@given(st.text(st.characters()) | texts | breaks, st.booleans())
def test_clean_text_is_text(text, lines):
    """Whatever it was: it can be written as UTF-8, holds no control but its line breaks, and is clean once for all."""
    cleaned = clean(text, lines=lines)
    cleaned.encode()
    assert not [char for char in cleaned if unicodedata.category(char) == "Cc" and not (lines and char == "\n")]
    assert not set("\u200b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff") & set(cleaned)
    assert clean(cleaned, lines=lines) == cleaned


# --- right to left --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["שלום (15)", "12 مرحبا", "abc ٣٤"])
def test_right_to_left_text_is_kept_apart(text):
    """It stands isolated, so that what is beside it stays in its place."""
    assert isolate(text) == f"\u2068{text}\u2069"


@pytest.mark.parametrize("text", ["", "abc", "Москва", "東京 😀"])
def test_other_text_holds_nothing_invisible(text):
    """What is copied from a chat is what was meant."""
    assert isolate(text) is text


# --- both, and links ------------------------------------------------------------------------------------------------


def test_a_line_is_cleaned_then_cut():
    """What is taken out costs none of its room."""
    assert fit("\u200b" * 50 + "a\nb" * 3, 8) == "a ba ba…"
    assert fit(" plain ", 5) == "plain"
    assert fit("x" * 1_000_000, 5) == "xxxx…"


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://x.example/a?b=1&c=%20#d", "https://x.example/a?b=1&c=%20#d"),
        ("http://x.example", "http://x.example"),
        ("https://x.example/a b|c<d>(e)", "https://x.example/a%20b%7Cc%3Cd%3E%28e%29"),
        ("https://x.example/ü", "https://x.example/%C3%BC"),
        ("https://x.example/\ud800", "https://x.example/%EF%BF%BD"),
        ("javascript:alert(1)", None),
        ("https:///a", None),
        ("//x.example", None),
        ("https://x.example/" + "a" * 2_000, None),
        ("", None),
    ],
)
def test_links_are_of_the_web_and_hold_no_brackets(url, link):
    """A longer one is none at all: half an address leads elsewhere."""
    assert web_url(url, 2_000) == link


def test_text_that_goes_on_keeps_one_blank_at_its_ends():
    """So that what stands beside it does not stick to it."""
    assert clean("  a\t b \n ", ends=True) == " a b "
    assert clean(" \n a ", lines=True, ends=True) == "\na "
