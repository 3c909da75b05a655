"""``tocsin send``: publishes what it is given as it is given, and can wait to see it delivered."""

import json

from tests.cli.conftest import Terminal
from tests.support.api import CLICK, Shop
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer


def test_an_example_delivered(owner: Terminal, shop: Shop, receiver: LedgerReceiver) -> None:
    """``send --example --wait`` ends with 0 once the event has arrived, signed."""
    receiver.trust("/hook", shop.webhook(receiver.url("/hook"))["secret"])
    sent = owner.json("send", CLICK, "--example", "--wait", "--external-id", "c-1")
    assert sent["delivered"] is True
    [arrival] = receiver.arrivals("/hook")
    assert arrival.verified
    assert arrival.id == sent["id"]
    assert "succeeded" in owner.ok("send", CLICK, "--example", "--wait").out


def test_data_from_everywhere(owner: Terminal, shop: Shop) -> None:
    """Data is taken from the command line, from a file and from stdin."""
    data = json.dumps(shop.example(CLICK))
    (owner.folder / "data.json").write_text(data)
    for source, stdin in ((data, b""), ("data.json", b""), ("-", data.encode())):
        sent = owner.json("send", CLICK, "--data", source, stdin=stdin)
        assert sent["matched"] == 0
        assert owner.json("events", "show", sent["id"])["data"] == json.loads(data)


def test_a_repeated_event(owner: Terminal) -> None:
    """The same content under the same external id is not sent again; other content is refused."""
    first = owner.json("send", CLICK, "--example", "--external-id", "c-2", "--timestamp", "2026-01-01T00:00:00Z")
    second = owner.json("send", CLICK, "--example", "--external-id", "c-2", "--timestamp", "2026-01-01T00:00:00Z")
    assert (second["id"], second["duplicate"]) == (first["id"], True)
    assert owner("send", CLICK, "--example", "--external-id", "c-2", "--timestamp", "2026-01-02T00:00:00Z").code == 5


def test_not_delivered(owner: Terminal, shop: Shop, receiver: LedgerReceiver) -> None:
    """Refused by the receiver within the time, or taken by no webhook: exit code 6, and why."""
    nobody = owner("send", CLICK, "--example", "--wait")
    assert nobody.code == 6
    assert "No webhook takes it" in nobody.err
    receiver.script("/failing", Answer(500))
    shop.webhook(receiver.url("/failing"))
    failing = owner("send", CLICK, "--example", "--wait", "--timeout", 1)
    assert failing.code == 6
    assert "retrying" in failing.out
    assert "still being tried" in failing.err


def test_what_is_refused(owner: Terminal, shop: Shop) -> None:
    """Data that is no JSON, that the schema or ECMAScript refuses, or of an unknown type: exit code 5, and where."""
    broken = owner("send", CLICK, "--data", '{"a":')
    assert broken.code == 5
    assert "line 1" in broken.err
    assert owner("send", CLICK, "--data", "missing.json").code == 2
    assert owner("send", CLICK).code == 2
    assert owner("send", CLICK, "--example", "--data", "{}").code == 2
    unknown = owner("send", "click.craeted", "--data", "{}")
    assert unknown.code == 5
    assert CLICK in unknown.err
    wrong = owner("send", CLICK, "--data", "{}")
    assert wrong.code == 5
    assert "/data" in wrong.err
    huge = json.dumps(shop.example(CLICK) | {"n": 9007199254740993})
    refused = owner("send", CLICK, "--data", huge)
    assert refused.code == 5
    assert "/data/n" in refused.err


def test_duplicate_keys_reach_the_server(owner: Terminal, shop: Shop) -> None:
    """The data's own bytes are published: a key that is there twice is refused, not silently dropped."""
    data = json.dumps(shop.example(CLICK))[:-1] + ',"twice":1,"twice":2}'
    assert owner("send", CLICK, "--data", data).code == 5
