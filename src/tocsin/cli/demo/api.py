"""The demonstration's way to its server: the HTTP API, as any client sees it."""

from collections.abc import Mapping
from typing import Any

import httpx

from tocsin.cli.demo.server import ServerProcess
from tocsin.cli.exits import FAILED, Failure


class Api:
    def __init__(self, server: ServerProcess) -> None:
        self._server = server
        self._http = httpx.AsyncClient(trust_env=False, timeout=30.0)

    async def close(self) -> None:
        await self._http.aclose()

    async def get(self, key: str, path: str, query: Mapping[str, str] | None = None) -> Any:
        return await self.call(key, "GET", path, query=query)

    async def all(self, key: str, path: str, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Every page of a list."""
        found: list[Mapping[str, Any]] = []
        asked = {**query, "limit": "250"}
        while True:
            page = await self.get(key, path, asked)
            found.extend(page["data"])
            if not page["has_more"]:
                return found
            asked["cursor"] = page["next_cursor"]

    async def call(
        self, key: str, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> Any:
        """The answer's body.

        Raises:
            Failure: it is a refusal, or none came.
        """
        answer = await self.ask(key, method, path, body, query)
        if answer.status_code >= 300:
            raise Failure(FAILED, f"{method} {path} was answered {answer.status_code}: {answer.text[:1000]}")
        return answer.json()

    async def press(self, link: str) -> None:
        """Opens a page of the server's, which must have a button, and presses that.

        Raises:
            Failure: there is no such page.
        """
        try:
            shown = await self._http.get(link)
            pressed = await self._http.post(link)
        except httpx.HTTPError as error:
            raise Failure(FAILED, f"{link}: no answer: {error or type(error).__name__}") from None
        if "<button>" not in shown.text or shown.status_code != 200 or pressed.status_code != 200:
            raise Failure(FAILED, f"{link} has no button, or it cannot be pressed: {pressed.status_code}")

    async def ask(
        self, key: str, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The answer, whatever it is.

        Raises:
            Failure: none came.
        """
        try:
            return await self._http.request(
                method,
                self._server.url + path,
                headers={"Authorization": f"Bearer {key}"},
                json=body,
                params=query,
            )
        except httpx.HTTPError as error:
            raise Failure(FAILED, f"{method} {path}: no answer: {error or type(error).__name__}") from None
