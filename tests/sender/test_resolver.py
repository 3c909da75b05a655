"""Names to addresses: what is asked, what is remembered, and who waits for whom."""

import asyncio
import threading

import pytest

from tests.sender.names import AAAA, HANG, A, NameServer, fixed
from tests.sender.wire import run
from tocsin.engine.sending import resolver as module
from tocsin.engine.sending.resolver import ResolveFailed, Resolver
from tocsin.errors import Misconfigured


class Time:
    """A monotonic clock that stands still until it is moved."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def with_resolver(names, use, **settings):
    """Runs `use(resolver)` and closes."""

    async def main():
        resolver = Resolver([names.address] if names else None, **settings)
        try:
            return await use(resolver)
        finally:
            await resolver.close()

    return run(main())


async def until(seen):
    """Waits for what the name server's thread does."""
    for _ in range(1000):
        if seen():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


async def failure(resolver, host):
    try:
        return await resolver.resolve(host)
    except ResolveFailed as failed:
        return failed.reason


def test_both_families_are_asked_for():
    """A name's A and AAAA records are all its addresses, each once, in one spelling."""
    with NameServer(fixed(a=["127.0.0.7", "2001:DB8:0::1", "127.0.0.7"])) as names:
        ips = with_resolver(names, lambda resolver: resolver.resolve("a.example"))
        assert sorted(names.asked) == [("a.example", A), ("a.example", AAAA)]
    assert sorted(ips) == ["127.0.0.7", "2001:db8::1"]


def test_one_family_is_enough():
    """A name with addresses of one family has these."""
    with NameServer(fixed(a=["127.0.0.7"], b=["::1"])) as names:

        async def both(resolver):
            return await resolver.resolve("a.example"), await resolver.resolve("b.example")

        assert with_resolver(names, both) == (("127.0.0.7",), ("::1",))


def test_localhost_is_known_without_a_name_server():
    """localhost resolves to loopback, and no name server is asked."""
    with NameServer(fixed(localhost=["192.0.2.1"])) as names:
        ips = with_resolver(names, lambda resolver: resolver.resolve("localhost"))
        assert names.asked == []
    assert "127.0.0.1" in ips
    assert set(ips) <= {"127.0.0.1", "::1"}


def test_no_search_domain_is_added(monkeypatch):
    """A name that does not exist is asked for as it is, and as nothing else, whatever the machine searches."""
    monkeypatch.setenv("LOCALDOMAIN", "search.example")
    with NameServer(fixed()) as names:
        reason = with_resolver(names, lambda resolver: failure(resolver, "single"))
        assert {name for name, _ in names.asked} == {"single"}
    assert reason == "the name does not exist"


def test_an_answer_counts_for_its_time_to_live_within_bounds():
    """An answer is remembered for its own time to live, but for half a minute at most and a second at least."""
    for ttl_s, counts_s in ((0, 1), (10, 10), (3600, 30)):
        clock = Time()
        with NameServer(fixed(a=["127.0.0.7"]), ttl_s=ttl_s) as names:

            async def use(resolver, clock=clock, counts_s=counts_s):
                assert resolver.cached("a.example") is None
                found = await resolver.resolve("a.example")
                assert resolver.cached("a.example") is found
                clock.now += counts_s - 0.1
                assert resolver.cached("a.example") is found
                assert await resolver.resolve("a.example") is found
                clock.now += 0.2
                assert resolver.cached("a.example") is None

            with_resolver(names, use, monotonic_s=clock)
            assert names.asked.count(("a.example", A)) == 1


def test_a_failure_counts_for_five_seconds():
    """A failed lookup fails those who ask in the next five seconds at once; then the name is asked for again."""
    clock = Time()

    def comes_up(_name, nth):
        return 2 if nth <= 3 else ["127.0.0.7"]  # c-ares itself asks a failing server three times

    with NameServer(comes_up) as names:

        async def use(resolver):
            first = await failure(resolver, "a.example")
            asked = len(names.asked)
            assert resolver.cached("a.example") is None
            clock.now += 4.9
            second = await failure(resolver, "a.example")
            assert len(names.asked) == asked
            clock.now += 0.2
            return first, second, await failure(resolver, "a.example")

        first, second, third = with_resolver(names, use, monotonic_s=clock)
    assert first == second == "its name server reports a failure (SERVFAIL)"
    assert third == ("127.0.0.7",)


def test_one_lookup_at_a_time_for_a_name():
    """Many who ask for a name at once share one lookup, and one who gives up takes nothing from the others."""
    go = threading.Event()

    def when_told(_name, _nth):
        go.wait(5)
        return ["127.0.0.7"]

    with NameServer(when_told) as names:

        async def use(resolver):
            asking = [asyncio.ensure_future(resolver.resolve("a.example")) for _ in range(50)]
            await until(lambda: names.asked)
            asking[0].cancel()
            go.set()
            return await asyncio.gather(*asking[1:])

        answers = with_resolver(names, use)
        assert names.asked.count(("a.example", A)) == 1
    assert answers == [("127.0.0.7",)] * 49


def test_a_server_that_hangs_ends_at_the_time_limit():
    """A lookup that is not answered fails at the time limit, before c-ares itself gives up."""
    with NameServer(fixed(a=HANG)) as names:

        async def use(resolver):
            loop = asyncio.get_running_loop()
            began = loop.time()
            reason = await failure(resolver, "a.example")
            return reason, loop.time() - began

        reason, took_s = with_resolver(names, use, timeout_s=0.3)
    assert reason == "its name server did not answer in time"
    assert 0.2 < took_s < 2  # c-ares by itself takes its three tries and more


def test_an_answer_that_comes_late_is_still_of_use():
    """An answer after those who asked gave up is remembered for those who ask next."""
    late = threading.Event()

    def slow(_name, nth):
        if nth == 1:
            late.wait(5)
        return ["127.0.0.7"]

    clock = Time()
    with NameServer(slow, ttl_s=60) as names:

        async def use(resolver):
            first = await failure(resolver, "a.example")
            clock.now += 6
            waiting = asyncio.ensure_future(failure(resolver, "a.example"))  # attaches to the lookup under way
            await asyncio.sleep(0)
            late.set()
            return first, await waiting

        first, second = with_resolver(names, use, timeout_s=0.5, monotonic_s=clock)
    assert first == "its name server did not answer in time"
    assert second == ("127.0.0.7",)


def test_a_zone_that_hangs_holds_only_its_share():
    """However many names of one zone hang, at most sixteen of them are asked for at once, and others at once."""
    answers = lambda name, _nth: HANG if name.endswith("hang.example") else ["127.0.0.7"]  # noqa: E731
    with NameServer(answers) as names:

        async def use(resolver):
            hanging = [asyncio.ensure_future(failure(resolver, f"n{n}.hang.example")) for n in range(1000)]
            await until(lambda: len({name for name, _ in names.asked}) >= 16)
            await asyncio.sleep(0.05)
            assert len({name for name, _ in names.asked}) == 16
            quick = await asyncio.wait_for(resolver.resolve("quick.other"), 2)
            assert not any(future.done() for future in hanging)
            return quick, set(await asyncio.gather(*hanging))

        quick, reasons = with_resolver(names, use, timeout_s=2.0)
    assert quick == ("127.0.0.7",)
    assert reasons == {"its name server did not answer in time"}


def test_a_zones_share_holds_while_it_is_answered():
    """As lookups of a zone end and others of it begin, never more than sixteen are under way."""
    with NameServer(lambda _name, _nth: ["127.0.0.7"]) as names:

        async def use(resolver):
            under_way = []

            async def ask(n):
                await resolver.resolve(f"n{n}.many.example")
                under_way.append(max(resolver._running.values(), default=0))

            await asyncio.gather(*(ask(n) for n in range(200)))
            assert resolver._running == resolver._waiting == resolver._lookups == {}
            return max(under_way)

        assert 0 < with_resolver(names, use) <= 16


def test_zones_take_turns(monkeypatch):
    """When lookups are at their bound, a zone with one name does not wait for all names of another."""
    monkeypatch.setattr(module, "_MAX_LOOKUPS", 2)
    gate = threading.Event()

    def gated(name, _nth):
        gate.wait(5)
        return ["127.0.0.7"]

    order = []
    with NameServer(gated) as names:

        async def use(resolver):
            async def ask(host):
                await resolver.resolve(host)
                order.append(host)

            asking = [asyncio.ensure_future(ask(f"n{n}.many.example")) for n in range(20)]
            await asyncio.sleep(0.01)
            asking.append(asyncio.ensure_future(ask("one.other")))
            await asyncio.sleep(0.01)
            gate.set()
            await asyncio.gather(*asking)

        with_resolver(names, use)
    assert len(order) == 21
    assert order.index("one.other") < 6


def test_names_remembered_are_bounded(monkeypatch):
    """No more names are remembered than the bound; the oldest answers go first."""
    monkeypatch.setattr(module, "_MAX_NAMES", 10)
    with NameServer(lambda _name, _nth: ["127.0.0.7"], ttl_s=60) as names:

        async def use(resolver):
            for n in range(25):
                await resolver.resolve(f"n{n}.example")
            return [n for n in range(25) if resolver.cached(f"n{n}.example")], len(resolver._answers)

        kept, count = with_resolver(names, use)
    assert kept == list(range(15, 25))
    assert count == 10


def test_a_name_with_too_many_addresses_is_refused():
    """More addresses than anyone needs are a failure, not work for the guard."""
    many = [f"127.0.1.{n}" for n in range(100)]
    with NameServer(fixed(a=many)) as names:
        reason = with_resolver(names, lambda resolver: failure(resolver, "a.example"))
    assert reason == "it has 100 addresses, and at most 64 are taken"


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "a..example", "." * 300])
def test_what_is_no_name_fails(host):
    """A host that cannot be a name fails as a value, without a question."""
    with NameServer(fixed()) as names:
        reason = with_resolver(names, lambda resolver: failure(resolver, host))
        assert names.asked == []
    assert isinstance(reason, str)
    assert reason


def test_closing_ends_what_is_under_way():
    """Whoever waits when the resolver is closed, or asks later, is told so at once."""
    with NameServer(fixed(a=HANG)) as names:

        async def use(resolver):
            asking = [asyncio.ensure_future(failure(resolver, f"n{n}.example")) for n in range(30)]
            asking.append(asyncio.ensure_future(failure(resolver, "a.example")))
            await asyncio.sleep(0.05)
            await resolver.close()
            return await asyncio.gather(*asking, failure(resolver, "late.example"))

        reasons = with_resolver(names, use)
    assert reasons[-2:] == ["the resolver is closed"] * 2


@pytest.mark.parametrize("server", ["192.0.2.1", "127.0.0.1:5353", "::1", "[::1]", "[::1]:5353"])
def test_servers_that_can_be_given(server):
    """A name server is an address of either family, with or without a port; c-ares takes what is let through."""

    async def main():
        resolver = Resolver([server])
        asked = asyncio.ensure_future(failure(resolver, "localhost"))
        assert "127.0.0.1" in await asked
        await resolver.close()

    run(main())


@pytest.mark.parametrize(
    "server", ["", "dns.example", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[::1]:x", "1.2.3"]
)
def test_a_server_that_is_no_address_stops_the_start(server):
    """A name server that cannot be asked is a misconfiguration."""
    with pytest.raises(Misconfigured, match="TOCSIN_DNS_SERVERS"):
        Resolver([server])


def test_a_lookup_that_cannot_be_begun_fails_and_hangs_nobody(monkeypatch):
    """Where c-ares itself cannot start, those who ask are told, and the next may try again."""

    def fails(*_args, **_settings):
        raise OSError("too many open files")

    clock = Time()
    with NameServer(fixed(a=["127.0.0.7"])) as names:

        async def use(resolver):
            with monkeypatch.context() as patched:
                patched.setattr(module.aiodns, "DNSResolver", fails)
                first = await failure(resolver, "a.example")
            clock.now += 6
            return first, await failure(resolver, "a.example")

        first, second = with_resolver(names, use, monotonic_s=clock)
    assert first == "it cannot be looked up: too many open files"
    assert second == ("127.0.0.7",)
