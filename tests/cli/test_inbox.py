"""The receiver's parts within this process: its memory, its verdicts, its manners, its page."""

import asyncio
import json
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from standardwebhooks import Webhook

from tocsin.clock import Millis
from tocsin.errors import Malformed
from tocsin.receiver.hosting.asgi import Reply
from tocsin.receiver.inbox.arrivals import KEPT_BYTES, Arrival, History
from tocsin.receiver.inbox.judging import Verdict
from tocsin.receiver.inbox.replying import Behaviour
from tocsin.receiver.inbox.saved import read_request
from tocsin.receiver.inbox.server import Inbox

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"type":"click.created","timestamp":"2026-01-01T00:00:00Z","data":{}}'


def add(history: History, id_: str | None = "evt_1", path: str = "/", body: bytes = b"{}") -> Arrival:
    verdict = Verdict(verified=None, id=id_)
    return history.add(at=Millis(0), method="POST", path=path, headers=(), body=body, verdict=verdict)


def signed(id_: str = "evt_1", at: int | None = None) -> dict[str, str]:
    when = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(when.timestamp())),
        "webhook-signature": Webhook(SECRET).sign(id_, when, BODY.decode()),
    }


@asynccontextmanager
async def running(**more):
    async with Inbox(**more) as inbox, httpx.AsyncClient(base_url=inbox.url("").rstrip("/"), trust_env=False) as client:
        yield inbox, client


async def seen(inbox: Inbox, look: Callable[[], bool]) -> None:
    """Waits for something to be true of the history."""
    changed = asyncio.Event()
    stop = inbox.history.listen(lambda _: changed.set())
    while not look():
        await changed.wait()
        changed.clear()
    stop()


# --- memory -------------------------------------------------------------------------------------------------------


def test_history_is_bounded_in_number() -> None:
    """Only the last arrivals are kept; counting goes on."""
    history = History(kept=3)
    for number in range(5):
        add(history, f"evt_{number}")
    assert [arrival.n for arrival in history] == [3, 4, 5]


def test_history_is_bounded_in_bytes() -> None:
    """Large bodies push older arrivals out before there are many; the newest always stays."""
    history = History()
    large = b"x" * (KEPT_BYTES // 4)
    for number in range(6):
        add(history, f"evt_{number}", body=large)
    assert len(history) == 4
    add(history, "evt_huge", body=b"x" * (KEPT_BYTES + 1))
    assert [arrival.verdict.id for arrival in history] == ["evt_huge"]


def test_repeated_events_are_told_apart() -> None:
    """A retry after a refusal is another attempt; one after a 2xx is a duplicate; another path is another webhook."""
    history = History()
    first = add(history)
    history.answered(first, 500, 1.0)
    second = add(history)
    assert (second.nth, second.duplicate) == (2, False)
    history.answered(second, 204, 1.0)
    third = add(history)
    assert (third.nth, third.duplicate) == (3, True)
    assert (add(history, path="/other").nth, add(history, None).nth, add(history, None).nth) == (1, 1, 1)


def test_changes_are_told_once_each() -> None:
    """Listeners hear of an arrival when it is new and when it is answered, and `since` tells what was missed."""
    history = History()
    heard: list[int | None] = []
    stop = history.listen(lambda arrival: heard.append(arrival.status))
    first = add(history)
    history.answered(first, 200, 1.0)
    second = add(history, "evt_2")
    assert heard == [None, 200, None]
    assert history.since(0) == [first, second]
    assert history.since(first.revision) == [second]
    stop()
    add(history, "evt_3")
    assert len(heard) == 3


# --- requests -----------------------------------------------------------------------------------------------------


async def one_request(inbox: Inbox, client: httpx.AsyncClient, headers: dict[str, str], body: bytes = BODY):
    answer = await client.post("/hook?a=b", content=body, headers=headers)
    return answer, list(inbox.history)[-1]


def test_what_arrives_is_verified() -> None:
    """A signed request verifies with the secret of its path, a changed one does not, and both are answered."""

    async def scene() -> None:
        async with running() as (inbox, client):
            inbox.trust(SECRET, path="/hook")
            answer, arrival = await one_request(inbox, client, signed())
            assert answer.status_code == 200
            assert (arrival.verdict.verified, arrival.verdict.profile, arrival.path) == (True, "standard", "/hook?a=b")
            assert (arrival.body, arrival.status) == (BODY, 200)
            answer, arrival = await one_request(inbox, client, signed("evt_2"), BODY + b" ")
            assert answer.status_code == 200
            assert (arrival.verdict.verified, arrival.verdict.cause) == (False, "body_changed")
            _, arrival = await one_request(inbox, client, signed("evt_3", at=1))
            assert (arrival.verdict.cause, arrival.verdict.right_but_for_time) == ("timestamp_too_old", True)

    asyncio.run(scene())


def test_one_that_hangs() -> None:
    """A responder that answers None never does; the sender's leaving is noted, and the inbox still stops."""

    async def never(_: Arrival) -> Reply | None:
        return None

    async def scene() -> None:
        async with running(reply=never) as (inbox, client):
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/hook", content=BODY, timeout=0.2)
            arrival = next(iter(inbox.history))
            await seen(inbox, lambda: arrival.took_ms is not None)
            assert arrival.status is None
            assert "went away" in (arrival.note or "")
            waiting = asyncio.ensure_future(client.post("/hook", content=BODY, timeout=30))
            await seen(inbox, lambda: len(inbox.history) == 2)
        with pytest.raises(httpx.HTTPError):
            await waiting

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_a_body_beyond_all_measure() -> None:
    """A body larger than any webhook's is refused and not kept."""

    async def scene() -> None:
        async with running() as (inbox, client):
            answer = await client.post("/hook", content=b"x" * ((4 << 20) + 1))
            assert answer.status_code == 413
            assert len(inbox.history) == 0

    asyncio.run(scene())


def test_failing_on_purpose() -> None:
    """The share of failures follows the luck that is drawn."""

    async def scene() -> Sequence[int]:
        draws = iter([0.1, 0.9, 0.3, 0.29])
        async with running(reply=Behaviour(status=204, fail_rate=0.3, luck=lambda: next(draws))) as (_, client):
            return [(await client.post("/", content=BODY)).status_code for _ in range(4)]

    assert asyncio.run(scene()) == [500, 204, 204, 500]


def test_forwarding() -> None:
    """A forwarded request arrives elsewhere byte for byte with its headers, and is answered as it was there."""

    async def teapot(_: Arrival) -> Reply:
        return Reply(status=418, headers=(("X-Kind", "tea"),), body=b"short and stout")

    async def scene() -> None:
        async with Inbox(reply=teapot) as behind:
            behind.trust(SECRET)
            behaviour = Behaviour(forward=behind.url("/inner"))
            async with running(reply=behaviour) as (inbox, client):
                answer, arrival = await one_request(inbox, client, signed())
                assert (answer.status_code, answer.headers["x-kind"], answer.content) == (
                    418,
                    "tea",
                    b"short and stout",
                )
                assert arrival.note == f"as {behind.url('/inner')} answered"
            await behaviour.close()
            [inner] = behind.history
            assert inner.verdict.verified
            assert (inner.path, inner.body) == ("/inner", BODY)

    asyncio.run(scene())


def test_forwarding_to_nobody() -> None:
    """Where the address behind does not answer, the answer is a 502 that says so."""

    async def scene() -> None:
        behaviour = Behaviour(forward="http://127.0.0.1:1/")
        async with running(reply=behaviour) as (inbox, client):
            answer, arrival = await one_request(inbox, client, signed())
            assert answer.status_code == 502
            assert "cannot be reached" in (arrival.note or "")
        await behaviour.close()

    asyncio.run(scene())


# --- the page -----------------------------------------------------------------------------------------------------


def test_the_page_is_its_own() -> None:
    """The page and what it loads come from here alone, under a policy that lets nothing else in or run inline."""

    async def scene() -> None:
        async with running() as (inbox, client):
            page = await client.get("/")
            policy = page.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "http" not in policy
            for name, kind in (("inbox.js", "text/javascript"), ("inbox.css", "text/css")):
                assert f'"/_inbox/{name}"' in page.text
                loaded = await client.get(f"/_inbox/{name}")
                assert loaded.headers["content-type"].startswith(kind)
                assert "//" not in loaded.text.replace("// ", "")
            assert "<script>" not in page.text
            assert "style=" not in page.text
            assert len(inbox.history) == 0

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:1", 200), ("localhost:8410", 200), ("[::1]:8410", 200), ("evil.example", 403), ("", 403)],
)
def test_the_page_is_for_this_machine(host: str, status: int) -> None:
    """Under a foreign name, as in DNS rebinding or behind a public tunnel, the page and its stream are refused."""

    async def scene() -> list[int]:
        async with running() as (_, client):
            return [
                (await client.send(client.build_request("GET", path, headers={"Host": host}), stream=True)).status_code
                for path in ("/", "/_inbox/events")
            ]

    assert asyncio.run(scene()) == [status, status]


def test_the_stream_is_live_and_resumes() -> None:
    """The stream tells what was there, what comes, and after a break only what was missed."""

    async def read(lines, count: int) -> list[tuple[str, dict]]:
        found: list[tuple[str, dict]] = []
        id_ = ""
        async for line in lines:
            if line.startswith("id: "):
                id_ = line[4:]
            elif line.startswith("data: {"):
                found.append((id_, json.loads(line[6:])))
                if len(found) == count:
                    break
        return found

    async def scene() -> None:
        async with running() as (inbox, client):
            await client.post("/one", content=BODY, headers=signed())
            async with client.stream("GET", "/_inbox/events") as stream:
                lines = stream.aiter_lines()
                [(_, old)] = await read(lines, 1)
                assert (old["path"], old["status"]) == ("/one", 200)
                inbox.trust(SECRET)
                await client.post("/two", content=BODY, headers=signed("evt_2"))
                told = await read(lines, 2)  # when it comes, and when it is answered
                assert [(one["path"], one["verified"]) for _, one in told] == [("/two", True)] * 2
                assert told[-1][1]["status"] == 200
            await client.post("/three", content=BODY, headers=signed("evt_3"))
            async with client.stream("GET", "/_inbox/events", headers={"Last-Event-ID": told[-1][0]}) as stream:
                [(_, missed)] = await read(stream.aiter_lines(), 1)
                assert missed["path"] == "/three"
            async with client.stream("GET", "/_inbox/events", headers={"Last-Event-ID": "other-999"}) as stream:
                assert len(await read(stream.aiter_lines(), 3)) == 3

    asyncio.run(asyncio.wait_for(scene(), 20))


# --- saved requests -----------------------------------------------------------------------------------------------


def test_a_saved_request_is_taken_apart() -> None:
    """Head and body are split at the first empty line; the body is left as it is."""
    raw = b"POST /a HTTP/1.1\r\nA: b\r\nC:d:e\r\n\r\n{}\r\n\r\nx"
    assert read_request(raw) == ([("A", "b"), ("C", "d:e")], b"{}\r\n\r\nx")
    assert read_request(b"\nA: b\n\n") == ([("A", "b")], b"")


@pytest.mark.parametrize("raw", [b"", b"{}", b"A: b\n{}", b"A b\n\n{}", b" A: b\n\n", b": b\n\n"])
def test_what_is_no_request(raw: bytes) -> None:
    """What has no head, or lines that are no headers, is refused."""
    with pytest.raises(Malformed):
        read_request(raw)
