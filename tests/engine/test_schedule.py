"""Every profile's schedule through the real engine, store, sender and receiver, on a clock that the test moves.

The figures are CONTRACT §4's, written out, and not read from the profiles that they hold to it.
"""

import asyncio
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.engine.walk import SYSTEM, Walk, walk
from tests.support.receiver import Arrival, LedgerReceiver
from tests.support.replies import Answer, Hang
from tocsin.control.webhook_bodies import Rotation
from tocsin.errors import Conflict
from tocsin.model import DeliveryState, OutcomeKind
from tocsin.receiver.verify import VerificationError, verify

PATH = "/hook"
M, H = 60, 3600


@dataclass(frozen=True)
class Figures:
    """CONTRACT §4, a column of its table."""

    profile: str
    retries_after_s: tuple[int, ...]
    timeout_s: int
    ends: str = "active"  # the webhook, after a delivery has failed
    hook: dict[str, Any] = field(default_factory=dict)  # what its users say when they make one
    signs_with_both: bool = False
    signs_time: bool = False


STANDARD_S = (5, 5 * M, 30 * M, 2 * H, 5 * H, 10 * H, 14 * H, 20 * H, 24 * H)
FIGURES = {
    "cloakradar": Figures("cloakradar", (1 * M, 5 * M, 30 * M), 10, ends="failed"),
    "clickdefender": Figures("clickdefender", (1 * M, 5 * M, 30 * M, 2 * H, 24 * H), 30),
    "trcker": Figures(
        "trcker", (1, 5, 30, 5 * M, 30 * M, 2 * H), 10, hook={"secret": "known to both"}, signs_time=True
    ),
    "visits, by token": Figures("visits", STANDARD_S, 15),
    "visits, by digest": Figures("visits", STANDARD_S, 15, hook={"options": {"signature": "hmac"}}),
    "cue": Figures("cue", (1, 4, 16, 64, 256), 10),
    "standard": Figures("standard", STANDARD_S, 15, signs_with_both=True, signs_time=True),
}
every_profile = pytest.mark.parametrize("figures", FIGURES.values(), ids=FIGURES.keys())


def fits(arrival: Arrival, secret: str | None, figures: Figures, at_ms: int) -> bool:
    """Whether the receivers' SDK takes it, signed at that instant to the second, with that secret."""
    assert secret is not None
    try:
        verified = verify(
            arrival.headers, arrival.body, secret, profile=figures.profile, now=at_ms // 1000, tolerance_s=0
        )
    except VerificationError:
        return False
    assert (verified.timestamp is not None) is figures.signs_time
    return True


@every_profile
def test_attempt_by_attempt_to_its_documented_end(tmp_path: Path, receiver: LedgerReceiver, figures: Figures):
    """Each retry is due its delay after the end of the attempt before, never early; N delays make N + 1 requests, all
    of the same event and body, each signed anew; then the delivery has failed, and the webhook is as documented.
    """
    receiver.script(PATH, Answer(500))

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), figures.profile, **figures.hook) as one:
            signed_at = [one.clock.now_ms()]
            receipt = await one.publish()
            for n, delay_s in enumerate(figures.retries_after_s, start=1):
                delivery = await one.settled(n)
                assert delivery.state is DeliveryState.RETRYING
                wait_s = (delivery.due_at - one.clock.now_ms()) / 1000
                assert delay_s <= wait_s <= delay_s + max(1, delay_s / 10)
                one.advance_to(delivery.due_at - 1)
                await asyncio.sleep(0.03)
                assert len(receiver.arrivals(PATH)) == n
                one.advance_to(delivery.due_at)
                signed_at.append(one.clock.now_ms())
            requests = len(figures.retries_after_s) + 1
            delivery = await one.settled(requests)
            assert (delivery.state, delivery.due_at) == (DeliveryState.FAILED, None)
            await one.cared_for()
            assert await one.state() == figures.ends
            one.advance(30 * 24 * H)
            await asyncio.sleep(0.03)

            arrivals = receiver.arrivals(PATH)
            assert len(arrivals) == requests
            assert len({(arrival.id, arrival.body) for arrival in arrivals}) == 1
            assert arrivals[0].id.startswith("evt_")
            for arrival, at_ms in zip(arrivals, signed_at, strict=True):
                assert fits(arrival, one.secret, figures, at_ms)
                assert fits(arrival, one.secret, figures, at_ms + 7_200_000) is not figures.signs_time
            attempts = await one.attempts(delivery)
            assert sorted(attempt.n for attempt in attempts) == list(range(1, requests + 1))
            assert {attempt.outcome.status_code for attempt in attempts} == {500}
            assert (await one.delivery(receipt)).status_code == 500

    asyncio.run(scenario())


@pytest.mark.parametrize("how", ["its overlap ends", "it is activated", "it has no overlap"])
@every_profile
def test_a_secret_rotated_in_mid_schedule(tmp_path: Path, receiver: LedgerReceiver, figures: Figures, how: str):
    """While the overlap lasts, a receiver that knows the old secret verifies every attempt (of `standard`, one that
    knows either); afterwards only one that knows the new secret does, from the very next attempt.
    """
    receiver.script(PATH, Answer(500))
    first_s, _ = figures.retries_after_s[:2]
    overlap_s = {"its overlap ends": math.ceil(first_s * 1.1) + 1, "it is activated": 604_800, "it has no overlap": 0}

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), figures.profile, **figures.hook) as one:
            webhooks = one.app.control.webhooks
            old = one.secret
            signed_at = [one.clock.now_ms()]
            await one.publish()
            delivery = await one.settled(1)
            _, new = await webhooks.rotate_secret(
                SYSTEM, one.account_id, one.webhook_id, Rotation(overlap_s=overlap_s[how])
            )
            assert new != old
            await _next(one, delivery.due_at, 2, signed_at)
            if how == "it is activated":
                await webhooks.activate_secret(SYSTEM, one.account_id, one.webhook_id)
            await _next(one, (await one.settled(2)).due_at, 3, signed_at)

            verifies = [
                (fits(arrival, old, figures, at_ms), fits(arrival, new, figures, at_ms))
                for arrival, at_ms in zip(receiver.arrivals(PATH), signed_at, strict=True)
            ]
            overlapping = (False, True) if how == "it has no overlap" else (True, figures.signs_with_both)
            assert verifies == [(True, False), overlapping, (False, True)]

    asyncio.run(scenario())


async def _next(one: Walk, due_at: int, attempts: int, signed_at: list[int]) -> None:
    one.advance_to(due_at)
    signed_at.append(one.clock.now_ms())
    await one.settled(attempts)


@pytest.mark.parametrize("overlap_s", [0, 86_400])
def test_a_first_secret_takes_force_at_once(tmp_path: Path, receiver: LedgerReceiver, overlap_s: int):
    """Where no secret was ever given (`trcker`), nothing is signed; one made by rotation signs from the next attempt
    on, with or without an overlap: there is no old one that a receiver could know.
    """
    receiver.script(PATH, Answer(500))
    figures = FIGURES["trcker"]

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "trcker") as one:
            assert one.secret is None
            await one.publish()
            delivery = await one.settled(1)
            changed, secret = await one.app.control.webhooks.rotate_secret(
                SYSTEM, one.account_id, one.webhook_id, Rotation(overlap_s=overlap_s)
            )
            assert one.app.control.webhooks.signing(changed).overlap_until is None
            with pytest.raises(Conflict, match="no rotation"):
                await one.app.control.webhooks.activate_secret(SYSTEM, one.account_id, one.webhook_id)
            one.advance_to(delivery.due_at)
            await one.settled(2)
            unsigned, signed = receiver.arrivals(PATH)
            assert "x-trcker-signature" not in unsigned.headers
            assert fits(signed, secret, figures, one.clock.now_ms())

    asyncio.run(scenario())


@every_profile
def test_each_request_carries_its_profiles_time_limit(tmp_path: Path, receiver: LedgerReceiver, figures: Figures):
    """What the sender is given says how long an attempt may take."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), figures.profile, **figures.hook) as one:
            preview = await one.app.control.webhooks.preview(
                one.account_id, one.webhook_id, event_id=(await one.publish()).id, type=None
            )
            assert preview.request.timeout_s == figures.timeout_s

    asyncio.run(scenario())


def test_the_shortest_time_limit_in_real_time(tmp_path: Path, receiver: LedgerReceiver):
    """A receiver that never answers is given up after ten seconds, and the attempt counts as failed."""
    receiver.script(PATH, Hang())

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH), "cue") as one:
            await one.publish()
            async with asyncio.timeout(25):
                while (await one.deliveries())[0].state is not DeliveryState.RETRYING:
                    await asyncio.sleep(0.05)
            [attempt] = await one.attempts((await one.deliveries())[0])
            assert attempt.outcome.kind is OutcomeKind.TIMEOUT
            assert 9_900_000 <= attempt.outcome.duration_us < 15_000_000

    asyncio.run(scenario())


def test_the_schedule_goes_on_after_a_restart_in_its_middle(tmp_path: Path, receiver: LedgerReceiver):
    """A retry that was due while the system was down goes out after it is back, and counts as the one it is."""
    receiver.script(PATH, Answer(500), Answer(500), Answer(200))

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            await one.publish()
            one.advance_to((await one.settled(1)).due_at)
            await one.settled(2)
            await one.restart(away_s=86_400)
            assert (await one.settled(3)).state is DeliveryState.SUCCEEDED

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [500, 200])
def test_five_days_without_a_success_disable_the_webhook(tmp_path: Path, receiver: LedgerReceiver, status: int):
    """An unbroken run of failures over five days disables with a reason; one success in between starts it anew."""
    receiver.script(PATH, Answer(500), Answer(status), Answer(500))

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            for number, day in enumerate((0, 3, 6)):
                one.advance_to(1_767_225_600_000 + day * 86_400_000)
                await one.publish(number=number)
                async with asyncio.timeout(10):
                    while sum(d.attempts for d in await one.deliveries()) < len(receiver.arrivals(PATH)) or (
                        len(receiver.arrivals(PATH)) <= number
                    ):
                        await asyncio.sleep(0.005)
            await one.app.caretaker.stop()  # whatever it is about to do is done
            async with asyncio.timeout(10):
                while await one.state() != ("disabled" if status == 500 else "active"):
                    await asyncio.sleep(0.005)
            if status == 500:
                assert "5 days" in (await one.webhook()).status_reason

    asyncio.run(scenario())


def test_enabling_begins_the_run_of_failures_anew(tmp_path: Path, receiver: LedgerReceiver):
    """A webhook that was disabled for its failures and enabled again has its five days again."""
    receiver.script(PATH, Answer(500))

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            await one.publish()
            await one.settled(1)
            one.advance(6 * 86_400)
            async with asyncio.timeout(10):
                while await one.state() != "disabled":
                    await asyncio.sleep(0.005)
            await one.enable("drop")
            seen = len(receiver.arrivals(PATH))
            await one.publish(number=2)
            async with asyncio.timeout(10):
                while len(receiver.arrivals(PATH)) == seen or one.app.dispatcher.in_flight:
                    await asyncio.sleep(0.005)
            await one.app.caretaker.stop()
            assert await one.state() == "active"

    asyncio.run(scenario())


def test_an_event_of_the_first_second_keeps_its_instant(tmp_path: Path, receiver: LedgerReceiver):
    """The timestamp 0 is an instant like any other, not a missing one."""

    async def scenario() -> None:
        async with walk(tmp_path, receiver.url(PATH)) as one:
            data = json.dumps(one.app.directory.cached(one.account_id).entry("click.created").event_type.example)
            receipt = await one.app.ingest.publish(one.account_id, "click.created", data.encode(), timestamp=0)
            assert receipt.timestamp == 0

    asyncio.run(scenario())
