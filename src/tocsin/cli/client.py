"""The client of `/v1`: answers as Python values, problems as a `Failure` with the exit code that fits."""

import json
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx

from tocsin import __version__
from tocsin.cli.connection import Connection
from tocsin.cli.exits import UNAUTHORISED, UNREACHABLE, USAGE, Failure, of_status

# The longest time limit of a profile is 30 s, and a test or a retry answers only when its attempt has ended.
_TIMEOUT = httpx.Timeout(50.0, connect=5.0)
_PAGE = 250  # the most that one page of a list holds
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class Client:
    """A conversation with one server; a context manager."""

    def __init__(self, connection: Connection) -> None:
        where = urlsplit(connection.url)
        if where.scheme not in ("http", "https") or not where.hostname:
            raise Failure(USAGE, f"--url {connection.url!r} is no address such as http://127.0.0.1:8400")
        self.url = connection.url.rstrip("/")
        headers = {"User-Agent": f"tocsin-cli/{__version__}", "Accept": "application/json"}
        if connection.key:
            if not connection.key.isascii() or not connection.key.isprintable():
                raise Failure(USAGE, "the key holds characters that no key has; was it copied whole?")
            headers["Authorization"] = f"Bearer {connection.key}"
        if connection.account:
            headers["Tocsin-Account"] = connection.account
        self._has_key = bool(connection.key)
        # A proxy of the environment is for addresses beyond this machine.
        trust_env = where.hostname not in _LOOPBACK
        self._http = httpx.Client(headers=headers, timeout=_TIMEOUT, trust_env=trust_env)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return self.call("GET", path, query=query)

    def post(self, path: str, body: Any = None) -> Any:
        return self.call("POST", path, body={} if body is None else body)

    def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
    ) -> Any:
        """One request and its answer's JSON, None where it has no body.

        Args:
            body: bytes are sent as they are, anything else as JSON; None: no body.
            query: entries that are None are left out.
            key: an `Idempotency-Key`.

        Raises:
            Failure: the server was not reached, or answered with a problem.
        """
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        headers = {} if content is None else {"Content-Type": "application/json"}
        if key is not None:
            headers["Idempotency-Key"] = key
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        try:
            answer = self._http.request(method, self.url + path, content=content, headers=headers, params=asked)
        except httpx.TimeoutException:
            raise Failure(UNREACHABLE, f"{self.url} did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Failure(
                UNREACHABLE,
                f"{self.url} cannot be reached: {error}",
                ["Is the server running (tocsin serve)? Another address is given with --url or TOCSIN_URL."],
            ) from None
        if answer.status_code >= 300:
            raise self._problem(answer)
        if not answer.content:
            return None
        try:
            return answer.json()
        except ValueError:
            raise Failure(UNREACHABLE, f"what answers at {self.url} is not Tocsin's API: {path} is no JSON") from None

    def items(self, path: str, query: Mapping[str, Any] | None = None, *, limit: int | None = None) -> Iterator[Any]:
        """The items of a list, newest first, page after page; at most `limit` (None: all)."""
        left = limit
        cursor = None
        while left is None or left > 0:
            page = self.get(
                path, {**(query or {}), "limit": _PAGE if left is None else min(_PAGE, left), "cursor": cursor}
            )
            yield from page["data"]
            cursor = page["next_cursor"]
            if not page["has_more"] or cursor is None:
                return
            if left is not None:
                left -= len(page["data"])

    def _problem(self, answer: httpx.Response) -> Failure:
        """A problem document (RFC 9457) as sentences."""
        code = of_status(answer.status_code)
        try:
            problem = answer.json()
        except ValueError:
            problem = None
        if not isinstance(problem, dict) or "code" not in problem:
            return Failure(code, f"{self.url} answered {answer.status_code} {answer.reason_phrase}, not as Tocsin does")
        lines = [
            f"  {fault.get('pointer', '')}: {fault.get('detail', '')}"
            for fault in problem.get("errors") or ()
            if not str(problem.get("detail")).endswith(str(fault.get("detail")))  # said already
        ]
        if problem["code"] == "account_required":
            lines.append("Here it is named with --account or TOCSIN_ACCOUNT.")
        if code == UNAUTHORISED and not self._has_key:
            lines.append("Give a key with TOCSIN_KEY or --key; the operator's was printed at the server's first start.")
        said = problem.get("detail") or problem.get("title") or answer.reason_phrase
        lines.append(f"  {answer.status_code} {problem['code']}, request {problem.get('request_id', '–')}")
        return Failure(code, said, lines, problem["code"])


def segment(text: str) -> str:
    """A user's text as one segment of a path."""
    return quote(text, safe="")
