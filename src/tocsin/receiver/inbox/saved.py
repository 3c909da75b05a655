"""Requests that somebody has saved, as a proxy or an editor writes them: head, empty line, body."""

import re

from tocsin.errors import Malformed

_REQUEST_LINE = re.compile(rb"[A-Z]+ \S+ HTTP/[0-9.]+")
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")


def read_request(raw: bytes) -> tuple[list[tuple[str, str]], bytes]:
    """Takes a saved request apart. A body longer than its Content-Length loses the white space that an editor added.

    Returns:
        Its headers, and its body as it came.

    Raises:
        Malformed: it is no request.
    """
    parts = _EMPTY_LINE.split(raw.lstrip(b"\r\n"), maxsplit=1)
    if len(parts) != 2:
        raise Malformed("there is no empty line between headers and body; is this a whole request?")
    lines = parts[0].replace(b"\r\n", b"\n").split(b"\n")
    if _REQUEST_LINE.fullmatch(lines[0]):
        del lines[0]
    headers = []
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed(f"{line.decode('latin-1')[:80]!r} is no header of the form 'Name: value'")
        headers.append((name, value.strip()))
    given = {name.lower(): value for name, value in headers}
    if "chunked" in given.get("transfer-encoding", "").lower():
        raise Malformed("the body was saved in chunks; save it whole, and give the headers with --header")
    body = parts[1]
    length = given.get("content-length", "")
    if length.isdecimal() and len(body) > int(length) and not body[int(length) :].strip():
        body = body[: int(length)]
    return headers, body
