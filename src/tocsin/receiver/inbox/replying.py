"""How a receiver can be told to behave: answer with a status, late, sometimes not well, or as another server does."""

import random
from collections.abc import Callable

import httpx

from tocsin.receiver.hosting.asgi import Reply
from tocsin.receiver.inbox.arrivals import Arrival

# Of the connection, not of the message (RFC 9110 §7.6.1); a length and an encoding are written anew.
_OF_THE_CONNECTION = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_FORWARD_S = 30.0  # no profile waits longer for its answer
_FAILURE = 500


class Behaviour:
    """A responder for `Inbox`. Close it when a `forward` was given.

    Args:
        fail_rate: which share of the requests is answered with 500; 0 to 1.
        forward: an address that gets every request too, and whose answer is given.
        luck: random numbers from 0 to below 1.
    """

    def __init__(
        self,
        *,
        status: int = 200,
        delay_s: float = 0.0,
        fail_rate: float = 0.0,
        forward: str | None = None,
        luck: Callable[[], float] = random.random,
    ) -> None:
        self._plain = Reply(status=status, delay_s=delay_s)
        self._fail_rate = fail_rate
        self._forward = forward
        self._luck = luck
        self._client = (
            httpx.AsyncClient(timeout=_FORWARD_S, follow_redirects=False, trust_env=False) if forward else None
        )

    async def __call__(self, arrival: Arrival) -> Reply:
        if self._luck() < self._fail_rate:
            return Reply(status=_FAILURE, delay_s=self._plain.delay_s, note="failed on purpose (--fail-rate)")
        if self._client is None or self._forward is None:
            return self._plain
        headers = [(name, value) for name, value in arrival.headers if name.lower() not in _OF_THE_CONNECTION]
        try:
            answer = await self._client.request(
                arrival.method, self._forward, content=arrival.body, headers=[*headers, ("Accept-Encoding", "identity")]
            )
        except (httpx.HTTPError, OSError) as error:
            return Reply(status=502, note=f"{self._forward} cannot be reached: {error or type(error).__name__}")
        return Reply(
            status=answer.status_code,
            headers=tuple((name, value) for name, value in answer.headers.items() if name not in _OF_THE_CONNECTION),
            body=answer.content,
            delay_s=self._plain.delay_s,
            note=f"as {self._forward} answered",
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.aclose()
