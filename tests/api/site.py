"""The whole product in this process, on a loop in a thread, asked through ASGI: real store, real sender, no sockets in
front.

    with Site(tmp_path) as site:
        shop = site.operator.shop()
        shop.call("GET", "/v1/webhooks")
"""

import asyncio
import json
import secrets
import threading
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import unquote

from tests.api import conformity
from tests.support.api import Api, ApiAnswer, Json, Operator, Shop
from tocsin.app import App, open_app
from tocsin.clock import Clock
from tocsin.config import Settings

T = TypeVar("T")

HOOK = "http://127.0.0.1:9999/hooks"  # an address that is let through, and where nobody listens
NEVER = b"what never comes"  # as a chunk
GONE = b"the client closes the connection"  # as a chunk


class Site:
    def __init__(self, folder: Path, *, clock: Clock | None = None, **settings: Any) -> None:
        self.operator_key = f"tsn_{secrets.token_urlsafe(32)}"
        self._settings = Settings(
            **{
                "db": f"sqlite:///{folder / 'tocsin.db'}",
                "admin_key": self.operator_key,
                "allow_http": True,
                "allow_networks": "127.0.0.0/8",
                "drain_s": 2.0,
                **settings,
            }
        )
        self._clock = clock
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="site", daemon=True)
        self.app: App

    def __enter__(self) -> Self:
        self._thread.start()
        self.app = self.run(open_app(self._settings, self._clock))
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self.app.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs it on the product's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(40)

    @property
    def operator(self) -> "LocalOperator":
        return LocalOperator(self, self.operator_key)

    def api(self, key: str | None = None, headers: Mapping[str, str] | None = None) -> "LocalApi":
        return LocalApi(self, key, headers)

    def ask(
        self,
        method: str,
        target: str,
        chunks: list[bytes] | None = None,
        headers: Sequence[tuple[str, str]] = (),
        app: Any = None,
        peer: tuple[str, int] | None = ("127.0.0.1", 1),
    ) -> ApiAnswer:
        """One request as ASGI has it; `chunks` are the body's messages, `peer` who is at the connection's other end.
        The answer is held against the description.
        """
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode(),
            "query_string": query.encode("latin-1"),
            "root_path": "",
            "scheme": "http",
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
            "client": peer,
            "server": ("127.0.0.1", 8400),
        }
        answer = self.run(_ask(app or self.app.asgi, scope, [b""] if chunks is None else chunks))
        conformity.check(method, target, answer)
        return answer


async def _ask(app: Any, scope: Any, chunks: list[bytes]) -> ApiAnswer:
    sent: list[Any] = []

    async def receive() -> Any:
        if not chunks:
            return {"type": "http.disconnect"}
        body = chunks.pop(0)
        if body is NEVER:
            await asyncio.Event().wait()
        if body is GONE:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": bool(chunks)}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return ApiAnswer(0, {}, b"")
    start, *rest = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return ApiAnswer(start["status"], headers, b"".join(part["body"] for part in rest))


class _Local(Api):
    """An `Api` without sockets."""

    site: Site

    def call(
        self,
        method: str,
        path: str,
        body: Json | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 40.0,
    ) -> ApiAnswer:
        sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.site.ask(method, path, [sent], [*self._headers.items(), *(headers or {}).items()])


class LocalApi(_Local):
    def __init__(self, site: Site, key: str | None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(lambda: "", key, headers)
        self.site = site


class LocalShop(_Local, Shop):
    def __init__(self, site: Site, account: Json) -> None:
        Shop.__init__(self, lambda: "", account)
        self.site = site


class LocalOperator(LocalApi, Operator):
    def shop(self, name: str = "shop", profile: str = "standard", **more: Json) -> LocalShop:
        return LocalShop(self.site, self.post("/v1/accounts", {"name": name, "profile": profile, **more}))
