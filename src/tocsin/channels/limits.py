"""Text that may be hostile, made fit for a line of a chat: cleaned, then cut to a service's limit, then escaped.

In this order: what is cut before it is escaped cannot end within an entity or an escape. `cut` counts what the text
will be *after* escaping, if it is told how (`measure`).
"""

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import quote

from wcwidth import iter_graphemes

ELLIPSIS = "…"
# More than any chat shows of one message (the most, by far, is Discord's 6,000), so nothing beyond is looked at.
MAX_TEXT = 16_384
# Marks above one another on one character. Hebrew, Thai and Vietnamese need three, stacked Tibetan some more; beyond
# begins what grows out of its line and over its neighbours.
_MAX_MARKS = 8

_BREAKS = re.compile("\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_BLANKS = re.compile(r"\s+")
_INNER_BLANKS = re.compile(r"[^\S\n]+")
_BREAKS_AND_BLANKS = re.compile(" ?\n[ \n]*")
# Taken out wherever they stand:
# - control characters but for the blanks among them, soft hyphens, and characters that stand for none;
# - the controls of writing direction that embed, override or isolate. They reach over the end of a value, and turn
#   "exe.gpj" around; right-to-left text does without them, since `isolate` keeps it apart from what is around it;
# - what has no width and is no part of any writing: zero-width spaces, word joiners, invisible operators, the empty
#   letters of Hangul, tags (but for a flag's), annotations.
_REMOVED = re.compile(
    "[\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\x9f\u00ad\u034f\u115f\u1160\u17b4\u17b5\u200b\u202a-\u202e"
    "\u2060-\u206f\u3164\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffc\ufffe\uffff\U0001d173-\U0001d17a\U000e0000-\U000e001f]"
)
_TAGS = re.compile("(\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f)|[\U000e0020-\U000e007f]")
# Invisible, but a part of writing: at most two in a row, such as an emoji's variation selector and its joiner.
_JOINING = "[\u061c\u180b-\u180f\u200c-\u200f\ufe00-\ufe0f\U000e0100-\U000e01ef]"
_TOO_MANY_JOINING = re.compile(f"({_JOINING}{{2}}){_JOINING}+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_WEB_URL = re.compile(r"https?://[^/?#]")
_FIRST_MARK = "\u0300"
_FIRST_STRONG_ISOLATE, _POP_ISOLATE = "\u2068", "\u2069"
_RTL = frozenset({"R", "AL", "AN"})
_FIRST_RTL = "\u0590"


def utf16(text: str) -> int:
    """UTF-16 code units: what Telegram, Discord and Slack call characters. An emoji has two or more."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def cut(text: str, units: int, measure: Callable[[str], int] = utf16) -> str:
    """The text itself if it fits, else as much of it as fits, whole graphemes only, and an ellipsis.

    Args:
        measure: how much a piece of text takes. At least one a character, and of pieces the sum of theirs.
    """
    if len(text) <= units and measure(text) <= units:
        return text
    room = units - measure(ELLIPSIS)
    if room < 0:
        return ""
    kept = 0
    for grapheme in iter_graphemes(text[: units + 1]):  # the last of these may be a part of one, and never fits
        room -= measure(grapheme)
        if room < 0:
            break
        kept += len(grapheme)
    return text[:kept].rstrip() + ELLIPSIS


def clean(text: str, *, lines: bool = False, ends: bool = False) -> str:
    """Text without what is not seen but does something. What can be read in it stays, in any writing.

    Args:
        lines: it may have several, with at most one empty one between two; otherwise a break becomes a blank.
        ends: one blank (or break) at its beginning and end stays: it goes on before or after.
    """
    if len(text) > MAX_TEXT:
        text = text[:MAX_TEXT] + ELLIPSIS
    text = _BREAKS.sub("\n", text)
    text = _REMOVED.sub("", text)
    if not text.isascii():
        text = _SURROGATES.sub("\ufffd", text)
        text = _TAGS.sub(r"\1", text)
        text = _TOO_MANY_JOINING.sub(r"\1", text)
        text = _few_marks(text)
    if not lines:
        text = _BLANKS.sub(" ", text)
        return text if ends else text.strip()
    text = _INNER_BLANKS.sub(" ", text)
    text = _BREAKS_AND_BLANKS.sub(lambda found: "\n\n" if found[0].count("\n") > 1 else "\n", text)
    return text if ends else text.strip()


def web_url(url: str, units: int) -> str | None:
    """An address as a link can hold it, percent-encoded; None if it is not http(s), or longer than it may be."""
    url = quote(clean(url), safe="!#$%&'*+,/:;=?@[]~")
    return url if _WEB_URL.match(url) and len(url) <= units else None


def fit(text: str, units: int, measure: Callable[[str], int] = utf16) -> str:
    """One line, cleaned and then cut. Of a long text only as much is looked at as can matter."""
    enough = 4 * units + 64
    return cut(clean(text[:enough] + ELLIPSIS if len(text) > enough else text), units, measure)


def isolate(text: str) -> str:
    """Right-to-left text, wrapped so that it does not turn around the label and the figures beside it.

    Takes two units. Other text stays as it is: what is copied from a chat should hold nothing invisible.
    """
    if max(text, default="") < _FIRST_RTL or not any(unicodedata.bidirectional(char) in _RTL for char in text):
        return text
    return f"{_FIRST_STRONG_ISOLATE}{text}{_POP_ISOLATE}"


def _few_marks(text: str) -> str:
    if max(text) < _FIRST_MARK:
        return text
    kept = []
    marks = 0
    for char in text:
        marks = marks + 1 if char >= _FIRST_MARK and unicodedata.category(char) in {"Mn", "Me"} else 0
        if marks <= _MAX_MARKS:
            kept.append(char)
    return "".join(kept)
