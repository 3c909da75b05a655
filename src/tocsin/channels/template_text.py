"""What a template may be made of: a part of Jinja in which nothing can grow.

MiniJinja's fuel bounds steps, not what a step makes: ``a ~ a`` thirty times over fills the memory, and an allocation
that fails ends the process. So a template may name no values of its own (no `set`, `with`, `macro`), repeat and join
none (no ``* ~ + %``), call nothing, and use no filter but ours, which are bounded. What is left grows with the length
of the template and with the data, and both have limits. Lengths and depths are bounded here too, since MiniJinja's
parser recurses: 4,000 minus signs end the process.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from tocsin.nearest import did_you_mean

FILTERS: Mapping[str, str] = {
    "capitalize": "its first letter large",
    "country": "a country's code as its name",
    "date": "an instant or a date, as a date",
    "default": "another value where it is none or empty",
    "first": "the first of a list or text",
    "join": "a list as one text, with this between",
    "last": "the last of a list or text",
    "length": "how long a list or text is",
    "lower": "in small letters",
    "money": "an amount, in the event's currency or the one that is given",
    "number": "a number as the locale writes it",
    "percent": "a number as a percentage",
    "plus": "a number and another one",
    "readable": "a program's word for people: datacenter_ip as Datacenter IP",
    "replace": "a text with one part replaced by another",
    "round": "a number with so many decimals, none unless said",
    "time": "an instant with date and time",
    "times": "a number so many times",
    "title": "each word with a large letter",
    "trim": "without blanks around",
    "truncate": "at most so many characters",
    "upper": "in capitals",
}
TESTS = ("defined", "undefined", "none", "number", "string", "sequence")
TAGS = ("if", "elif", "else", "endif", "for", "endfor")

MAX_TAGS = 200
MAX_TOKENS = 100  # of one tag
MAX_DEPTH = 6  # of blocks within blocks, and of brackets within brackets

_OPENING = re.compile(r"\{\{|\{%|\{#")
_CLOSING = re.compile(r"-?(?:\}\}|%\})")
_TOKEN = re.compile(
    r"(?P<text>'[^'\\]*'|\"[^\"\\]*\")"
    r"|(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?(?![A-Za-z0-9_.]))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]{0,60}(?![A-Za-z0-9_]))"
    r"|(?P<sign>==|!=|<=|>=|[<>|.,()\[\]/-])"
)
_TAG = re.compile(r"[ \t\r\n]*([A-Za-z_]+)")
_PATH = re.compile(r"[A-Za-z_]\w*(?: \. [A-Za-z_]\w*| \[ [0-9]+ \])*", re.ASCII)
_BLANKS = re.compile(r"[ \t\r\n]*")
_WORDS = frozenset({"and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None"})
_VALUES = frozenset({"true", "false", "none", "True", "False", "None"})
_HINTS = {
    "*": "the filter times multiplies numbers",
    "+": "the filter plus adds numbers; texts are put beside each other as {{ a }}{{ b }}",
    "~": "texts are put beside each other as {{ a }}{{ b }}",
    "%": "there is no remainder here",
    "{": "there are no objects here",
    "=": "== compares; a template gives no names to values",
    "'": "a text ends with the quote that it began with, on no backslash",
    '"': "a text ends with the quote that it began with, on no backslash",
}


class Wrong(Exception):
    """What is wrong with a template, and in which line."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")


class Token(NamedTuple):
    kind: str
    text: str


class Names(NamedTuple):
    """The names that a template takes from the event, each with the line where it stands first."""

    lines: Mapping[str, int]


@lru_cache(maxsize=2_048)  # a few kilobytes each, read before every use
def read(text: str) -> Names:
    """Reads a template.

    Raises:
        Wrong: it has what it may not.
    """
    reader = _Reader(text)
    reader.read()
    return Names(reader.names)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.names: dict[str, int] = {}
        self._own: set[str] = set()  # names of loops: of no use outside, where they are as undefined as any
        self._blocks: list[str] = []

    def read(self) -> None:
        tags = 0
        while (found := _OPENING.search(self.text, self.at)) is not None:
            tags += 1
            start = found.start()
            self.at = found.end()
            if tags > MAX_TAGS:
                raise self._wrong(f"a template has at most {MAX_TAGS} places to fill in", start)
            if found[0] == "{#":
                end = self.text.find("#}", self.at)
                if end < 0:
                    raise self._wrong("a comment is closed by #}", start)
                self.at = end + 2
                continue
            if self.text[self.at : self.at + 1] == "-":
                self.at += 1
            tag = _TAG.match(self.text, self.at)
            if found[0] == "{%" and tag is not None and tag[1] not in TAGS:
                raise self._wrong(f"there is no {{% {tag[1][:40]} %}} here: there are {', '.join(TAGS)}", start)
            tokens = list(self._tokens("}}" if found[0] == "{{" else "%}", start))
            if not tokens:
                raise self._wrong("there is nothing in the braces", start)
            if found[0] == "{{":
                self._expression(tokens, start)
            else:
                self._tag(tokens, start)
        if self._blocks:
            raise self._wrong(f"{{% {self._blocks[-1]} %}} is closed by {{% end{self._blocks[-1]} %}}", len(self.text))

    def _wrong(self, why: str, at: int) -> Wrong:
        return Wrong(self.text.count("\n", 0, at) + 1, why)

    def _tokens(self, closing: str, start: int) -> Iterator[Token]:
        count = 0
        while True:
            blanks = _BLANKS.match(self.text, self.at)
            self.at = blanks.end() if blanks else self.at
            end = _CLOSING.match(self.text, self.at)
            if end is not None:
                if not end[0].endswith(closing):
                    raise self._wrong(f"what opens with {{{closing[0]} closes with {closing}", self.at)
                self.at = end.end()
                return
            found = _TOKEN.match(self.text, self.at)
            if found is None:
                char = self.text[self.at : self.at + 1]
                if not char:
                    raise self._wrong(f"what was opened here is not closed by {closing}", start)
                raise self._wrong(f"{char!r} is not taken here: {_HINTS.get(char, 'see the reference')}", self.at)
            count += 1
            if count > MAX_TOKENS:
                raise self._wrong("that is too long to be understood; part it", start)
            self.at = found.end()
            assert found.lastgroup is not None
            yield Token(found.lastgroup, found[0])

    def _tag(self, tokens: list[Token], start: int) -> None:
        tag, rest = tokens[0].text, tokens[1:]
        if tag not in TAGS:
            raise self._wrong(f"a tag begins with one of {', '.join(TAGS)}", start)
        if tag in {"if", "for"}:
            self._blocks.append(tag)
            if len(self._blocks) > MAX_DEPTH:
                raise self._wrong(f"blocks stand at most {MAX_DEPTH} within each other", start)
        if tag in {"if", "elif"}:
            if not rest:
                raise self._wrong(f"{tag} needs a condition", start)
            self._expression(rest, start)
        elif tag == "for":
            self._loop(rest, start)
        elif rest:
            raise self._wrong(f"nothing stands behind {tag}", start)
        if tag in {"elif", "else"} and not self._blocks:
            raise self._wrong(f"{tag} stands within an if", start)
        if tag in {"endif", "endfor"} and (not self._blocks or self._blocks.pop() != tag[3:]):
            raise self._wrong(f"{tag} closes nothing here", start)

    def _loop(self, tokens: list[Token], start: int) -> None:
        """``name in path``, or ``name, name in path``."""
        form = "a loop is {% for reason in reasons %}, over a value as it is"
        texts = [token.text for token in tokens]
        if "in" not in texts:
            raise self._wrong(form, start)
        at = texts.index("in")
        targets, path = tokens[:at], tokens[at + 1 :]
        names = targets[::2]
        commas = targets[1::2]
        if (
            not 1 <= len(names) <= 3
            or len(targets) != 2 * len(names) - 1
            or any(token.kind != "name" or token.text in _WORDS or token.text.startswith("_") for token in names)
            or any(token.text != "," for token in commas)
            or not _PATH.fullmatch(" ".join(texts[at + 1 :]))
            or any(token.text in _WORDS for token in path)
        ):
            raise self._wrong(form, start)
        self._expression(path, start)
        self._own |= {token.text for token in names} | {"loop"}

    def _expression(self, tokens: list[Token], start: int) -> None:
        depth = 0
        before = Token("sign", "(")
        for token in tokens:
            if token.text in "([" and token.kind == "sign":
                depth += 1
                if depth > MAX_DEPTH:
                    raise self._wrong(f"brackets stand at most {MAX_DEPTH} within each other", start)
                if token.text == "(" and _is_value(before):
                    raise self._wrong(f"nothing can be called here; {_filters(before)}", start)
            elif token.text in ")]" and token.kind == "sign":
                depth -= 1
            elif token.kind == "name":
                token = self._name(token, before, start)  # noqa: PLW2901 - a word's part in the sentence
            before = token

    def _name(self, token: Token, before: Token, start: int) -> Token:
        """What a name is where it stands: of a filter, a test, a member, a value."""
        name = token.text
        if before == ("sign", "|"):
            if name not in FILTERS:
                raise self._wrong(f"there is no filter {name}{did_you_mean(name, FILTERS)}", start)
            return Token("filter", name)
        if before.kind == "is" and name not in {"not"}:
            if name not in TESTS:
                raise self._wrong(f"there is no test {name}{did_you_mean(name, TESTS)}", start)
            return Token("test", name)
        if before.kind == "is" or name == "is":
            return Token("is", name)
        if before == ("sign", "."):
            if name.startswith("_"):
                raise self._wrong(f"{name} is nothing of an event's", start)
            return token
        if name in _WORDS:
            return Token("value" if name in _VALUES else "word", name)
        if name not in self._own:
            self.names.setdefault(name, self.text.count("\n", 0, start) + 1)
        return token


def _is_value(token: Token) -> bool:
    return token.kind in {"name", "text", "number", "value", "test"} or token in {("sign", ")"), ("sign", "]")}


def _filters(token: Token) -> str:
    return "a filter stands behind a |, as in {{ payout|money }}" if token.kind == "name" else "part it"
