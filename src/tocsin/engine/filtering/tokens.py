"""The text of a filter cut into tokens, by the CEL grammar's own rules.

What the grammar takes and this does not (three quotes, backticks) is refused, so that the two never disagree on where a
text ends and a name begins. All of this comes before the library's parser sees anything.
"""

import re
from typing import NoReturn

import cel
import msgspec

from tocsin.errors import Fault, Invalid

MAX_CHARACTERS = 2_048
MAX_TOKENS = 400

_TOKEN = re.compile(
    r"""
    (?P<blank> [\t\ \r\n\f]+ | //[^\n]* )
  | (?P<long> [bB]?[rR]?(?: \"{3} | '{3} ) )
  | (?P<text> [bB]?[rR](?: "[^"\n\r]*" | '[^'\n\r]*' ) | [bB]?(?: "(?:\\.|[^\\"\n\r])*" | '(?:\\.|[^\\'\n\r])*' ) )
  | (?P<number> [0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)? | [0-9]+[eE][+-]?[0-9]+ | 0x[0-9a-fA-F]+[uU]? | [0-9]+[uU]? )
  | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
  | (?P<sign> [=!<>]= | && | \|\| | [\[\]{}().,\-!?:+*/%<>] )
    """,
    re.VERBOSE,
)


class Token(msgspec.Struct):
    kind: str
    text: str
    at: int


def refuse(why: str, at: int | None = None) -> NoReturn:
    where = "" if at is None else f"at character {at + 1}: "
    raise Invalid(f"the filter: {where}{why}", code="filter_invalid", faults=[Fault("/filter", where + why)])


def tokens(text: str) -> list[Token]:
    if not text.strip():
        refuse("it is empty; write a condition such as data.cost > 1.0, or leave the filter out")
    if len(text) > MAX_CHARACTERS:
        refuse(f"it has {len(text)} characters, and at most {MAX_CHARACTERS} are taken")
    found = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            refuse(_UNREADABLE.get(text[at], f"{text[at]!r} cannot stand here"), at)
        kind = str(match.lastgroup)
        if kind == "long":
            refuse("write texts in \"…\" or '…', not in three quotes", at)
        if kind != "blank":
            found.append(Token(kind, match[0], at))
        at = match.end()
    if len(found) > MAX_TOKENS:
        refuse(f"it has {len(found)} words and signs, and at most {MAX_TOKENS} are taken")
    if not found:
        refuse("it holds nothing but a comment")
    return found


_UNREADABLE = {
    '"': "the text that begins here does not end",
    "'": "the text that begins here does not end",
    "`": "names in backticks are not supported; write data['a-b']",
    "=": "write == to compare",
    "&": "write && for “and”",
    "|": "write || for “or”",
}


def decoded(token: Token) -> str:
    """What a written text says."""
    quoted = token.text.lstrip("rR")
    if "\\" not in quoted or quoted is not token.text:
        return quoted[1:-1]
    try:
        said = cel.compile(token.text).execute()  # escapes are the library's own affair
    except ValueError:
        refuse('this text has an escape that is not known; write \\\\ for a backslash, or r"…"', token.at)
    assert isinstance(said, str)
    return said
