"""Several real processes on one PostgreSQL database: what one of them is told holds in all of them, the work is shared
out, and whoever goes is replaced.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.e2e.test_postgres import tocsin
from tests.support.api import CLICK, Shop
from tests.support.chats import Chats
from tests.support.cluster import Fleet, Shape
from tests.support.mail import MailHost
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tests.support.waiting import until
from tocsin.receiver.doubles import TelegramDouble

PUBLIC = "https://tocsin.example.com"
TWO_AND_TWO = Shape("two-and-two", on_postgres=True, roles=("api", "api", "worker", "worker"))
REVOKED_WITHIN_S = 2.0  # CONTRACT §3

# What tells the news is called by its name alone: a function of that name that is found before it takes them all in,
# and tells nobody. What is known by news must be known without them too, only later.
SILENCE = """
CREATE FUNCTION public.pg_notify(text, text) RETURNS void LANGUAGE sql AS 'SELECT';
"""


@contextmanager
def running(shape: Shape, folder: Path, *, news: bool = True, started: bool = True, **settings: Any) -> Iterator[Fleet]:
    with Fleet(shape, folder, public_url=PUBLIC, **settings) as fleet:
        if not news:
            asyncio.run(_silence(fleet.db))
        yield fleet.start() if started else fleet


async def _silence(db: str) -> None:
    connection = await asyncpg.connect(db)
    try:
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(SILENCE)
        await connection.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    finally:
        await connection.close()


@pytest.fixture(scope="module", params=[True, False], ids=["news", "silence"])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Two that are asked and two that send, for tests that end none of them; with news between them, and without."""
    with running(TWO_AND_TWO, tmp_path_factory.mktemp("fleet"), news=request.param, retry_scale=0.01) as fleet:
        yield fleet


@pytest.fixture
def fleet_of(tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Starts the processes that a test ends: ``fleet_of("api", "worker")``."""
    with ExitStack() as stack:

        def start(*roles: str, **settings: Any) -> Fleet:
            shape = Shape("-".join(roles), on_postgres=True, roles=roles)
            return stack.enter_context(running(shape, tmp_path / shape.name, **settings))

        yield start


@pytest.fixture
def mail_host() -> Iterator[MailHost]:
    with MailHost() as host:
        yield host


def seen_from(process: Server, shop: Shop) -> Shop:
    """The same account, asked of another process."""
    return Shop(lambda: process.url, {"key": shop.key, "id": shop.id})


def both(fleet: Fleet) -> tuple[Shop, Shop]:
    """A new account, asked of the first process and of the second, which has it in its memory."""
    here = fleet.operator.shop()
    there = seen_from(fleet.processes[1], here)
    there.publish()
    return here, there


def metric(process: Server, name: str) -> float:
    text = process.operator.call("GET", "/metrics").body.decode()
    [line] = [line for line in text.splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


# --- roles ----------------------------------------------------------------------------------------------------------


def test_a_worker_answers_probes_only(fleet: Fleet) -> None:
    """It says that it lives and is ready, gives its figures, and for everything else says who is to be asked."""
    worker = fleet.senders[0]
    call = worker.operator.call
    assert call("GET", "/healthz").json["role"] == "worker"
    assert call("GET", "/readyz").status == 200
    for method, path in (("GET", "/v1/accounts"), ("POST", "/v1/events"), ("GET", "/docs"), ("GET", "/nonsense")):
        answer = call(method, path, {} if method == "POST" else None)
        assert (answer.status, answer.code) == (404, "not_served_here"), path
        assert "worker" in answer.json["detail"]
        assert PUBLIC in answer.json["detail"]
    assert call("GET", "/api/v1/webhooks").json.keys() == {"error"}  # in the form that its clients know
    assert "operator's key" not in worker.log.read_text()


def test_shards_are_shared_out(fleet: Fleet) -> None:
    """The workers have half of the shards each, the others none; doctor says so, and who does what is done once."""
    until(lambda: [metric(one, "tocsin_shards_held") for one in fleet.processes] == [0, 0, 128, 128], "halves")
    settings = {"TOCSIN_DB": fleet.db, "TOCSIN_SECRET_KEY": fleet.settings["secret_key"]}
    found = json.loads(tocsin(fleet.api.log.parent, "doctor", "--json", **settings).stdout)
    processes = [re.sub(r".*, process \d+ ", "", one["detail"]) for one in found if one["subject"] == "process"]
    assert sorted(processes) == [
        "answers requests",
        "answers requests",
        "sends for 128 of 256 shards",
        "sends for 128 of 256 shards, and does what is done once",
    ]
    assert {one["state"] for one in found if one["subject"] == "process"} == {"ok"}


# --- changes --------------------------------------------------------------------------------------------------------


def test_what_is_accepted_anywhere_is_sent(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """Events taken by either process arrive once each, verified, at webhooks of many shards."""
    here, there = both(fleet)
    for n in range(8):
        receiver.trust(f"/{n}", here.webhook(receiver.url(f"/{n}"))["secret"])
    ids = {receipt["id"] for shop in (here, there) * 10 for receipt in shop.publish_batch([shop.event()] * 3)}
    for n in range(8):
        receiver.wait_for(f"/{n}", len(ids))
        assert receiver.counts(f"/{n}") == dict.fromkeys(ids, 1)
        assert all(arrival.verified for arrival in receiver.arrivals(f"/{n}"))
    until(lambda: {one["status"] for one in here.deliveries()} == {"succeeded"}, "all settled")
    assert len(there.deliveries()) == 8 * len(ids)


def test_a_changed_webhook_holds_for_the_next_event(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """Its address, its secret, its filter, a stop, a start and its end, said to one process, hold for the next event
    that another one accepts; whoever sends it.
    """
    here, there = both(fleet)
    hook = here.webhook(receiver.url("/before"), [CLICK])
    receiver.trust("/before", hook["secret"])
    there.publish()
    receiver.wait_for("/before", 1)

    for n in range(5):
        path = f"/after-{n}"
        here.change(hook["id"], url=receiver.url(path))
        there.publish()
        receiver.wait_for(path, 1)
        secret = here.post(f"/v1/webhooks/{hook['id']}/rotate-secret", {"overlap_s": 0})["secret"]
        receiver.trust(path, secret)
        there.publish()
        assert receiver.wait_for(path, 2)[1].verified
    assert len(receiver.arrivals("/before")) == 1

    here.change(hook["id"], filter='data.name == "right"')
    assert there.publish(name="wrong")["matched"] == 0
    assert there.publish(name="right")["matched"] == 1
    here.change(hook["id"], filter=None)
    here.post(f"/v1/webhooks/{hook['id']}/disable")
    assert there.publish()["matched"] == 0
    here.post(f"/v1/webhooks/{hook['id']}/enable")
    assert there.publish()["matched"] == 1
    here.ok("DELETE", f"/v1/webhooks/{hook['id']}")
    assert there.publish()["matched"] == 0


def test_a_held_webhook_is_held_by_whoever_sends(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """What waits for a webhook that was muted or disabled stays; once it is enabled, all of it goes out."""
    here, there = both(fleet)
    hook = here.webhook(receiver.url("/held"))
    there.publish()
    receiver.wait_for("/held", 1)
    here.post(f"/v1/webhooks/{hook['id']}/mute", {"hours": 1})
    ids = {there.publish()["id"] for _ in range(5)}
    time.sleep(0.3)  # as long as a hundred deliveries take
    assert len(receiver.arrivals("/held")) == 1
    there.post(f"/v1/webhooks/{hook['id']}/mute", {"hours": 0})
    receiver.wait_for("/held", 6)
    assert set(receiver.counts("/held")) >= ids


def test_an_event_type_is_there_at_once(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """A type that was added in one process is taken by the other at once, with its schema; one that was removed is
    refused.
    """
    here, there = both(fleet)
    event_type = {"schema": {"type": "object", "required": ["n"]}, "example": {"n": 1}}
    here.ok("PUT", "/v1/event-types/order.paid", event_type)
    assert there.post("/v1/events", {"type": "order.paid", "data": {"n": 2}})["matched"] == 0
    here.ok("PUT", "/v1/event-types/order.late", event_type)
    there.webhook(receiver.url("/paid"), ["order.paid", "order.late"])
    here.ok("PUT", "/v1/event-types/order.paid", {**event_type, "schema": {"type": "object"}})
    assert there.post("/v1/events", {"type": "order.paid", "data": {}})["matched"] == 1
    receiver.wait_for("/paid", 1)
    here.ok("DELETE", "/v1/event-types/order.paid")
    until(
        lambda: there.call("POST", "/v1/events", {"type": "order.paid", "data": {}}).code == "unknown_event_type",
        "refused",
        REVOKED_WITHIN_S,
    )


def test_a_changed_account_holds_for_the_next_event(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """A setting of the account, said to one process, holds for the body of the next event that another one accepts."""
    here, there = both(fleet)
    here.webhook(receiver.url("/masked"), [CLICK])
    there.publish(ip="203.0.113.77")
    assert receiver.wait_for("/masked", 1)[0].data["ip"] == "203.0.113.77"
    here.ok("PATCH", f"/v1/accounts/{here.id}", {"settings": {"mask_ips": True}})
    there.publish(ip="203.0.113.77")
    assert receiver.wait_for("/masked", 2)[1].data["ip"] == "203.0.x.x"


def test_a_key_that_is_revoked_opens_nothing(fleet: Fleet) -> None:
    """Whatever process it was revoked in, within two seconds; so are an advertiser's token and an account's end."""
    here, there = both(fleet)
    key = here.post("/v1/keys", {"name": "second"})
    token = here.post("/v1/postback-tokens", {"name": "network"})
    other = Shop(lambda: fleet.processes[1].url, {"key": key["key"], "id": here.id})
    postback = f"/in/{token['token']}/postback?txid=1&payout=1&currency=EUR"
    other.publish()
    assert there.call("GET", postback).status == 200

    def closes(call: Callable[[], int], status: int) -> float:
        began = time.monotonic()
        until(lambda: call() == status, "closed", REVOKED_WITHIN_S)
        return time.monotonic() - began

    here.ok("DELETE", f"/v1/keys/{key['id']}")
    closes(lambda: other.call("POST", "/v1/events", other.event()).status, 401)
    here.ok("DELETE", f"/v1/postback-tokens/{token['id']}")
    closes(lambda: there.call("GET", postback).status, 404)
    fleet.operator.ok("DELETE", f"/v1/accounts/{here.id}")
    closes(lambda: there.call("POST", "/v1/events", {"type": CLICK, "data": {}}).status, 401)


# --- requests -------------------------------------------------------------------------------------------------------


def test_an_idempotency_key_has_one_effect(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """The same request to both processes at once, and again to each: one webhook, one event; repeats are told so."""
    here, there = both(fleet)
    asked = {"url": receiver.url("/once"), "events": ["*"]}
    with ThreadPoolExecutor(2) as pool:
        for n in range(5):
            headers = {"Idempotency-Key": f"make-{n}"}
            calls = [pool.submit(one.call, "POST", "/v1/webhooks", asked, headers=headers) for one in (here, there)]
            answers = [call.result() for call in calls]
            assert {answer.status for answer in answers} <= {201, 409}
            again = [one.call("POST", "/v1/webhooks", asked, headers=headers) for one in (here, there)]
            assert {answer.headers.get("idempotency-replayed") for answer in again} == {"true"}
            made = {answer.json["id"] for answer in (*answers, *again) if answer.status == 201}
            assert len(made) == 1
            assert len(list(here.pages("/v1/webhooks"))) == n + 1


def test_tests_and_retries_by_hand(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """They are made by the process that is asked, while another one sends for the webhook; each is sent once."""
    here, _ = both(fleet)
    hook = here.webhook(receiver.url("/by-hand"), [CLICK])
    attempt = here.post(f"/v1/webhooks/{hook['id']}/test")
    assert attempt["status_code"] == 200
    receiver.script("/by-hand", Answer(500), Answer(500), Answer())
    event = here.publish()
    receiver.wait_for("/by-hand", 3)  # the next one is due in 3 s
    delivery = here.wait_delivery(event["id"], hook["id"], "retrying")
    assert here.post(f"/v1/deliveries/{delivery['id']}/retry")["status_code"] == 200
    ended = here.wait_delivery(event["id"], hook["id"], "succeeded")
    assert len(ended["attempts"]) == 3
    time.sleep(3.5)
    assert receiver.counts("/by-hand")[event["id"]] == 3


def test_chats_are_gathered_by_whoever_sends(fleet: Fleet) -> None:
    """Alerts of both processes stand in one window: the first ones alone, the others in one summary."""
    here, there = both(fleet)
    with Chats() as chats:
        chat = chats.open(TelegramDouble)
        options = {"digest": {"window_s": 5, "max": 2}}
        here.webhook(chats.address(chat), [CLICK], channel="telegram", options=options)
        for _ in range(4):
            here.publish()
            there.publish()
        said = chats.wait_for(chat, 3)
        time.sleep(0.5)
        assert len(chat.messages) == 3
        assert "6 alerts" in said[2].text


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_rate_holds_over_all_processes(fleet: Fleet, receiver: LedgerReceiver) -> None:
    """However many take events for it: twenty starts apart is a second."""
    here, there = both(fleet)
    rate = 20
    here.webhook(receiver.url("/paced"), rate_limit=rate, max_in_flight=4)
    receiver.script("/paced", Answer(after_s=0.01))
    for shop in (here, there):
        shop.publish_batch([shop.event() for _ in range(30)])
    arrivals = receiver.wait_for("/paced", 60)
    assert min(later.at - earlier.at for earlier, later in zip(arrivals, arrivals[rate:], strict=False)) >= 0.9
    assert receiver.most_at_once("/paced") <= 4
    assert set(receiver.counts("/paced").values()) == {1}


# --- coming and going -----------------------------------------------------------------------------------------------


def test_a_stopped_worker_is_replaced_at_once(fleet_of: Callable[..., Fleet], receiver: LedgerReceiver) -> None:
    """SIGTERM under load: it ends in good order, the other goes on with its webhooks within seconds, nothing is lost
    and nothing is sent twice; one that comes later gets its share.
    """
    fleet = fleet_of("api", "worker", "worker")
    shop = fleet.operator.shop()
    for n in range(6):
        shop.webhook(receiver.url(f"/{n}"), max_in_flight=5)
        receiver.script(f"/{n}", Answer(after_s=0.02))
    ids: list[str] = []

    def publish(batches: int) -> None:
        for _ in range(batches):
            ids.extend(receipt["id"] for receipt in shop.publish_batch([shop.event()] * 20))

    leaving, staying = fleet.senders
    publish(5)
    leaving.ask_to_stop()
    publish(5)
    assert leaving.wait_end(35) == 0
    publish(1)
    for n in range(6):
        receiver.wait_for(f"/{n}", len(ids), 30)
    until(lambda: metric(staying, "tocsin_shards_held") == 256, "all of them", 5)
    coming = fleet.add("worker").start()
    until(lambda: metric(coming, "tocsin_shards_held") == 128, "half of them", 10)
    publish(1)
    for n in range(6):
        receiver.wait_for(f"/{n}", len(ids), 30)
        assert receiver.counts(f"/{n}") == dict.fromkeys(ids, 1)
    until(lambda: {one["status"] for one in shop.deliveries()} == {"succeeded"}, "all settled")


def test_a_dead_chief_is_replaced(
    fleet_of: Callable[..., Fleet], receiver: LedgerReceiver, mail_host: MailHost
) -> None:
    """What is done once goes on in another process, within 15 s: jobs of events with very many webhooks, and mails,
    each once.
    """
    fleet = fleet_of("api", "worker", "worker", smtp_url=mail_host.url())
    shop = fleet.operator.shop(notify_email="ops@example.com")
    for _ in range(101):
        shop.webhook(receiver.url("/many"), [CLICK])
    gone = shop.webhook(receiver.url("/gone"), ["partner.applied"])
    receiver.script("/gone", Answer(410))
    [chief] = [one for one in fleet.senders if metric(one, "tocsin_chief") == 1]
    chief.kill9()
    shop.publish()
    shop.publish("partner.applied")
    receiver.wait_for("/many", 101, 20)
    until(lambda: shop.status(gone["id"])["status"] == "disabled", "disabled", 20)
    [mail] = mail_host.wait_for(1, 20)
    assert gone["id"] in mail.part("plain")
    chief.start()
    time.sleep(0.5)
    assert len(receiver.arrivals("/many")) == 101
    assert len(mail_host.mails) == 1


def test_an_api_process_comes_back_by_itself(fleet_of: Callable[..., Fleet]) -> None:
    """One that was frozen beyond its lease says that it is not ready, as somebody else, and then takes events again."""
    fleet = fleet_of("api", "all")
    frozen, other = fleet.processes
    shop = fleet.operator.shop()
    shop.publish()
    frozen.freeze()
    until(lambda: "nodes_buried" in other.log.read_text(), "taken for dead", 20)
    frozen.thaw()
    until(frozen.ready, "ready again", 10)
    assert shop.publish()["matched"] == 0
    assert "tenure_lost" in frozen.log.read_text()


# --- starts ---------------------------------------------------------------------------------------------------------


def test_the_first_processes_can_start_at_once(fleet_of: Callable[..., Fleet]) -> None:
    """On a new database, all with the same settings: one of them makes the operator's key, none fails."""
    fleet = fleet_of("api", "api", "api", started=False)
    for process in fleet.processes:
        process.launch()
    for process in fleet.processes:
        process.wait_ready()
    shop = fleet.operator.shop()
    assert {seen_from(process, shop).publish()["matched"] for process in fleet.processes} == {0}
    assert len(list(fleet.operator.pages("/v1/keys"))) == 1


def test_a_start_that_fails_leaves_nobody_behind(fleet_of: Callable[..., Fleet]) -> None:
    """A process whose setting turns out to be wrong once it has joined leaves, and waits for no lease to run out."""
    fleet = fleet_of("api")
    key = fleet.operator.shop().key
    settings = {f"TOCSIN_{name.upper()}": str(value) for name, value in fleet.settings.items()}
    ran = tocsin(fleet.api.log.parent, "serve", "--port", "0", **settings | {"TOCSIN_ADMIN_KEY": str(key)})
    assert ran.returncode == 2
    assert "TOCSIN_ADMIN_KEY is the key of an account" in ran.stderr
    found = json.loads(tocsin(fleet.api.log.parent, "doctor", "--json", **settings).stdout)
    assert len([one for one in found if one["detail"].endswith("answers requests")]) == 1
