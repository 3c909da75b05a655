"""What users give on the command line, read: files, headers, instants, JSON."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from tocsin.cli.exits import INVALID, USAGE, Failure

Input = Annotated[Path, Parameter(allow_leading_hyphen=True)]  # so that - can be given

_STDIN = Path("-")


def read_bytes(file: Path) -> bytes:
    """A file's bytes; ``-`` is stdin.

    Raises:
        Failure: it cannot be read.
    """
    if file == _STDIN:
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise Failure(USAGE, f"{file} cannot be read: {error.strerror}") from None


def split_headers(headers: Sequence[str]) -> dict[str, str]:
    """``Name: value`` each.

    Raises:
        Failure: one has no colon.
    """
    found = {}
    for header in headers:
        name, colon, value = header.partition(":")
        if not colon or not name.strip():
            raise Failure(USAGE, f"--header {header!r} is not of the form 'Name: value'")
        found[name.strip()] = value.strip()
    return found


def read_instant(text: str, name: str) -> int:
    """An RFC 3339 instant, in milliseconds since 1970.

    Raises:
        Failure: it is none.
    """
    from tocsin.clock import parse_rfc3339

    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise Failure(USAGE, f"{name} {text!r}: {error}") from None


def parse_object(text: str, name: str) -> dict[str, Any]:
    """A flag's JSON object.

    Raises:
        Failure: it is none.
    """
    try:
        value = json.loads(text)
    except ValueError as error:
        raise Failure(USAGE, f"{name} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise Failure(USAGE, f"{name} is no JSON object")
    return value


def read_json(source: str, name: str) -> bytes:
    """JSON given as itself, as a file, or as ``-`` for stdin; its bytes, for the server to judge as they are.

    Raises:
        Failure: there is no such file, or it is no JSON.
    """
    text = source.lstrip()
    raw = text.encode() if text.startswith(("{", "[", '"')) else read_bytes(Path(source))
    try:
        json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Failure(INVALID, f"{name} is no JSON: {error}") from None
    return raw
