"""A server with a dialect of the user's own, and the same server when that dialect is gone."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Terminal
from tests.support.receiver import LedgerReceiver
from tests.support.replies import Answer
from tests.support.server import Server
from tocsin.profiles.loader import DATA


@pytest.fixture
def dialects(tmp_path: Path) -> Path:
    """A folder with `acme`: as `standard`, under another name."""
    folder = tmp_path / "dialects"
    shutil.copytree(DATA / "standard", folder / "acme")
    file = folder / "acme" / "profile.toml"
    file.write_text(file.read_text().replace('name = "standard"', 'name = "acme"'))
    return folder


def test_an_account_whose_dialect_is_gone_waits_and_nobody_else_does(
    dialects: Path, receiver: LedgerReceiver, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """Restarted without the setting, the server says so, refuses that account with 503, keeps its deliveries, and goes
    on for all others, also for those that wait beside it; restarted with it, what waited is delivered.
    """
    server = start_server(profiles=dialects, retry_scale=0.4)
    theirs, other = server.operator.shop("theirs", "acme"), server.operator.shop("other")
    receiver.script("/theirs", Answer(500), Answer(200))
    receiver.script("/other", Answer(500), Answer(200))
    hook = theirs.webhook(receiver.url("/theirs"), max_in_flight=1)
    hook_of_other = other.webhook(receiver.url("/other"), max_in_flight=1)
    sent = [theirs.publish()["id"], other.publish()["id"]]
    for shop, event, webhook in ((theirs, sent[0], hook), (other, sent[1], hook_of_other)):
        shop.wait_delivery(event, webhook["id"], "retrying")
    server.stop()

    del server._settings["profiles"]
    server.restart()
    assert "profile_missing" in server.log.read_text()
    refused = theirs.call("POST", "/v1/events", {"type": "click.created", "data": {}})
    assert (refused.status, refused.code) == (503, "profile_missing")
    assert "'acme'" in refused.json["detail"]
    for method, path, body in (
        ("GET", "/v1/event-types", None),
        ("POST", "/v1/keys", {"name": "more"}),
        ("POST", f"/v1/webhooks/{hook['id']}/test", {}),
    ):
        assert theirs.call(method, path, body).code == "profile_missing"
    other.wait_delivery(sent[1], hook_of_other["id"], "succeeded")
    other.wait_delivery(other.publish()["id"], hook_of_other["id"], "succeeded")
    assert theirs.deliveries()[0]["status"] in ("retrying", "pending")
    log = server.log.read_text()
    assert "claim_failed" not in log
    assert "claim_waits" not in log  # nobody's claim was given up for it

    terminal = Terminal(tmp_path, db=f"sqlite:///{server.db}", port="0")
    found = terminal("doctor", "--json")
    assert found.code == 1
    assert "1 of its accounts have the profile acme" in found.out

    server._settings["profiles"] = dialects
    server.restart()
    theirs.wait_delivery(sent[0], hook["id"], "succeeded")


def test_a_broken_dialect_stops_the_start(dialects: Path, tmp_path: Path) -> None:
    """`serve` ends with 2 and names file and key, and so do the commands that read dialects; `doctor` finds it."""
    file = dialects / "acme" / "profile.toml"
    file.write_text(file.read_text().replace('time_limit = "15s"', 'time_limit = "soon"'))
    terminal = Terminal(tmp_path, db=f"sqlite:///{tmp_path / 'tocsin.db'}", port="0", profiles=str(dialects))
    for command in (("serve",), ("profiles",), ("profiles", "show", "acme"), ("openapi",)):
        ran = terminal(*command)
        assert ran.code == 2, ran
        assert "acme/profile.toml: time_limit: 'soon'" in ran.err
    found = terminal("doctor")
    assert found.code == 1
    assert "time_limit: 'soon'" in found.out
    assert not (tmp_path / "tocsin.db").exists()


def test_it_is_a_flag_and_a_key_of_the_file_too(dialects: Path, tmp_path: Path) -> None:
    """As every other setting."""
    terminal = Terminal(tmp_path)
    assert "acme" not in terminal.ok("profiles").out
    assert "acme" in terminal.ok("profiles", "--profiles", dialects).out
    (tmp_path / "tocsin.toml").write_text('profiles = "dialects"\n')
    assert "acme" in terminal.ok("profiles").out
    assert terminal.ok("doctor", "--port", 0, "--db", f"sqlite:///{tmp_path / 'new.db'}").out.count("acme") == 1
