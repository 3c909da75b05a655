import asyncio

from tests.store.world import World
from tocsin.clock import Millis
from tocsin.store.port import StoredAnswer

DAY = 86_400_000
DONE = StoredAnswer(digest=b"d" * 32, status=201, body=b'{"id":"wh_1"}', headers=(("location", "/v1/x"),))


async def test_the_same_request_is_answered_the_same(world: World):
    """A key is new once; then it tells of a request under way, and then of its answer."""
    account = await world.account()
    keys, now = world.store.idempotency, world.now
    key = (account.id, "POST /v1/webhooks", "k1")
    until = Millis(now + DAY)
    assert await keys.begin(*key, DONE.digest, now, until) is None
    running = await keys.begin(*key, b"other", now, until)
    assert running == StoredAnswer(digest=DONE.digest, status=None, body=b"")
    await keys.finish(*key, DONE)
    assert await keys.begin(*key, b"other", now, until) == DONE
    assert await keys.begin(*key, DONE.digest, Millis(until - 1), until) == DONE


async def test_one_of_many_at_once_begins(world: World):
    """Of many requests with one key at the same moment exactly one begins."""
    account = await world.account()
    key = (account.id, "POST /v1/events", "k")
    begin = world.store.idempotency.begin
    answers = await asyncio.gather(*(begin(*key, b"d", world.now, Millis(world.now + DAY)) for _ in range(20)))
    assert sum(answer is None for answer in answers) == 1


async def test_keys_belong_to_account_and_route(world: World):
    """The same key means something else to another account, another route, or the operator."""
    account, other = await world.account(), await world.account()
    begin, now, until = world.store.idempotency.begin, world.now, Millis(world.now + DAY)
    for whose in (account.id, other.id, None):
        for route in ("POST /v1/events", "POST /v1/webhooks"):
            assert await begin(whose, route, "k", b"d", now, until) is None
            assert await begin(whose, route, "k", b"d", now, until) is not None


async def test_a_key_is_free_again(world: World):
    """A key is free once it has expired, or its request was given up; an answered one is not given up."""
    account = await world.account()
    keys, now, until = world.store.idempotency, world.now, Millis(world.now + DAY)
    expired, abandoned = (account.id, "r", "expired"), (account.id, "r", "abandoned")
    for key in (expired, abandoned):
        await keys.begin(*key, b"d", now, until)
    await keys.finish(*expired, DONE)
    await keys.abandon(*expired)
    assert await keys.begin(*expired, b"d", now, until) == DONE
    assert await keys.begin(*expired, b"d", until, Millis(until + DAY)) is None
    await keys.abandon(*abandoned)
    assert await keys.begin(*abandoned, b"e", now, until) is None


async def test_a_request_that_died_with_its_process_may_come_again(world: World):
    """After a restart a key whose request was never answered is free; an answered one is remembered."""
    account = await world.account()
    keys, now, until = world.store.idempotency, world.now, Millis(world.now + DAY)
    died, answered = (account.id, "r", "died"), (account.id, "r", "answered")
    for key in (died, answered):
        await keys.begin(*key, DONE.digest, now, until)
    await keys.finish(*answered, DONE)
    await world.reopen()
    keys = world.store.idempotency
    assert await keys.begin(*died, b"d", now, until) is None
    assert await keys.begin(*answered, b"d", now, until) == DONE


async def test_expired_keys_are_purged(world: World):
    """Purging removes expired keys only."""
    account = await world.account()
    keys, now = world.store.idempotency, world.now
    await keys.begin(account.id, "r", "a", b"d", now, Millis(now + 1_000))
    await keys.begin(account.id, "r", "b", b"d", now, Millis(now + 2_000))
    purged = await world.store.housekeeping.purge(
        bodies_before=Millis(0), logs_before=Millis(0), dedupe_before=Millis(0), now=Millis(now + 1_000), limit=10
    )
    assert purged.idempotency == 1
    assert await keys.begin(account.id, "r", "b", b"d", now, Millis(now + 2_000)) is not None
