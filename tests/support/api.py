"""A tiny client of `/v1`: one connection a call, so that a server may die at any time without it noticing late.

`Operator` and `Shop` (an account, seen with its own key) are what tests say; `Api.call` is everything else. Addresses
are looked up for each call, so that a client outlives the restarts of its server.
"""

import http.client
import json
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from tests.support.waiting import until

Json = Any

CLICK = "click.created"  # a type of the standard catalogue, used wherever the type does not matter


@dataclass(frozen=True)
class ApiAnswer:
    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The stable code of an error, in whichever form it is told."""
        return self.error.get("code") if self.status >= 400 else None

    @property
    def error(self) -> Json:
        """What is told of an error: the problem, or what a compatibility surface puts under `error`."""
        return self.json.get("error", self.json)


class Api:
    def __init__(self, address: Callable[[], str], key: str | None, headers: Mapping[str, str] | None = None) -> None:
        self.key = key
        self._address = address
        self._headers = dict(headers or {}) | ({"Authorization": f"Bearer {key}"} if key else {})

    def call(
        self,
        method: str,
        path: str,
        body: Json | bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 40.0,
    ) -> ApiAnswer:
        """One request, whatever the answer's status. Bytes are sent as they are, anything else as JSON.

        Raises:
            OSError, http.client.HTTPException: no answer came.
        """
        where = urllib.parse.urlsplit(self._address())
        connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=timeout_s)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        kind = {} if sent is None else {"Content-Type": "application/json"}
        try:
            connection.request(method, path, sent, {"Connection": "close", **kind, **self._headers, **(headers or {})})
            answer = connection.getresponse()
            return ApiAnswer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def ok(self, method: str, path: str, body: Json | None = None, **more: Any) -> Json:
        """One request that must succeed, and its answer's JSON (None where it has no body)."""
        answer = self.call(method, path, body, **more)
        assert answer.status < 300, f"{method} {path}: {answer.status} {answer.body.decode()}"
        return answer.json if answer.body else None

    def get(self, path: str, **query: Any) -> Json:
        asked = {name: value for name, value in query.items() if value is not None}
        return self.ok("GET", f"{path}?{urllib.parse.urlencode(asked)}" if asked else path)

    def post(self, path: str, body: Json | None = None) -> Json:
        return self.ok("POST", path, {} if body is None else body)

    def pages(self, path: str, **query: Any) -> Iterator[Json]:
        """Every item of a list, over all its pages."""
        cursor = None
        while True:
            page = self.get(path, cursor=cursor, **{"limit": 250, **query})
            yield from page["data"]
            if not page["has_more"]:
                return
            cursor = page["next_cursor"]


class Shop(Api):
    """An account, seen with its own key."""

    def __init__(self, address: Callable[[], str], account: Json) -> None:
        super().__init__(address, account["key"])
        self.id: str = account["id"]
        self.example = cache(self._example)

    # --- publishing ---------------------------------------------------------------------------------------------

    def _example(self, type_: str) -> Json:
        return self.get(f"/v1/event-types/{type_}")["example"]

    def event(self, type_: str = CLICK, external_id: str | None = None, **data: Json) -> Json:
        """An event as it is published: the type's own example, with `data` laid over it."""
        event = {"type": type_, "data": self.example(type_) | data}
        return event if external_id is None else event | {"external_id": external_id}

    def publish(self, type_: str = CLICK, external_id: str | None = None, **data: Json) -> Json:
        """Publishes one event; its receipt."""
        return self.post("/v1/events", self.event(type_, external_id, **data))

    def publish_batch(self, events: Sequence[Json]) -> list[Json]:
        return self.post("/v1/events/batch", {"events": events})["results"]

    # --- webhooks -----------------------------------------------------------------------------------------------

    def webhook(self, url: str, events: Sequence[str] = ("*",), **more: Json) -> Json:
        """Makes a webhook; the answer holds its `id` and `secret`."""
        return self.post("/v1/webhooks", {"url": url, "events": list(events), **more})

    def change(self, webhook_id: str, **settings: Json) -> Json:
        return self.ok("PATCH", f"/v1/webhooks/{webhook_id}", settings)

    def status(self, webhook_id: str) -> Json:
        return self.get(f"/v1/webhooks/{webhook_id}")

    # --- deliveries ---------------------------------------------------------------------------------------------

    def deliveries(self, **where: str) -> list[Json]:
        """All deliveries that fit (`webhook`, `event`, `status`, …), newest first."""
        return list(self.pages("/v1/deliveries", **where))

    def delivery(self, delivery_id: str) -> Json:
        """One delivery with its attempts."""
        return self.get(f"/v1/deliveries/{delivery_id}")

    def delivery_of(self, event_id: str, webhook_id: str) -> Json | None:
        """The one delivery of an event to a webhook, with its attempts; None where there is none."""
        found = self.deliveries(event=event_id, webhook=webhook_id)
        assert len(found) <= 1, f"more than one delivery of {event_id} to {webhook_id}: {found}"
        return self.delivery(found[0]["id"]) if found else None

    def wait_delivery(self, event_id: str, webhook_id: str, status: str, within_s: float = 15.0) -> Json:
        """The delivery of an event to a webhook, once it has that status."""
        found: Json = None

        def look() -> bool:
            nonlocal found
            found = self.delivery_of(event_id, webhook_id)
            return found is not None and found["status"] == status

        until(look, lambda: f"{status}; it is {found}", within_s)
        return found


class Operator(Api):
    def shop(self, name: str = "shop", profile: str = "standard", **more: Json) -> Shop:
        """Makes an account."""
        return Shop(self._address, self.post("/v1/accounts", {"name": name, "profile": profile, **more}))
