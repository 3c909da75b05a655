"""``serve``, ``migrate`` and ``doctor``: the commands that work on an installation itself."""

import base64
import os
import socket
from pathlib import Path
from typing import Any

import apsw
import pytest

from tests.cli.conftest import Ran, Terminal
from tests.sender.certificates import Authority
from tests.support.mail import MailHost
from tests.support.server import Server
from tocsin.store.sqlite import migrations

NEWEST = migrations.newest()


def findings(ran: Ran, subject: str) -> list[tuple[str, str]]:
    return [(one["state"], one["detail"]) for one in ran.json if one["subject"] == subject]


def sqlite(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"port": "many"}, "TOCSIN_PORT"),
        ({"retry_scale": "0"}, "TOCSIN_RETRY_SCALE"),
        ({"allow_networks": "everything"}, "TOCSIN_ALLOW_NETWORKS"),
        ({"trusted_proxies": "0.0.0.0/0"}, "TOCSIN_TRUSTED_PROXIES"),
        ({"cue_trust_user_id": "maybe"}, "TOCSIN_CUE_TRUST_USER_ID: write 1 or 0"),
        ({"secret_key": "c2hvcnQ="}, "TOCSIN_SECRET_KEY"),
        ({"db": "mysql://x"}, "TOCSIN_DB"),
    ],
)
def test_wrong_settings_stop_the_start(terminal: Terminal, variables: dict[str, str], named: str) -> None:
    """A wrong setting stops the start in one clear line: exit code 2."""
    ran = (
        terminal("serve", "--port", 0, **{"port": "0"} | variables)
        if "port" not in variables
        else terminal("serve", **variables)
    )
    assert ran.code == 2
    assert named in ran.err
    assert ran.err.count("\n") == 1


def test_flags_beat_variables_beat_the_file(terminal: Terminal) -> None:
    """The same setting in all three places: the flag counts, then the variable, then the file."""
    (terminal.folder / "tocsin.toml").write_text('db = "sqlite:///file.db"\n')
    terminal.ok("migrate")
    terminal.ok("migrate", db="sqlite:///variable.db")
    terminal.ok("migrate", "--db", "sqlite:///flag.db", db="sqlite:///other.db")
    assert sorted(path.name for path in terminal.folder.glob("*.db")) == ["file.db", "flag.db", "variable.db"]
    (terminal.folder / "tocsin.toml").write_text("prot = 8400\n")
    assert "prot" in terminal("migrate").err
    assert terminal("migrate", "--config", "missing.toml").code == 2


def test_a_port_that_is_taken(terminal: Terminal) -> None:
    """A port that is taken is a setting that does not fit: it is named, with how to choose another."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = terminal("serve", "--port", taken.getsockname()[1])
    assert ran.code == 2
    assert "Address already in use" in ran.err
    assert "--port" in ran.err
    assert "Traceback" not in ran.err


def test_a_second_server_on_one_file(terminal: Terminal, server: Server) -> None:
    """Two servers on one database: the second does not start, and says why."""
    ran = terminal("serve", "--port", 0, "--db", sqlite(server.db))
    assert ran.code == 2
    assert "already open" in ran.err


def test_migrate(terminal: Terminal) -> None:
    """Migrating makes the schema, once; ``--status`` only looks."""
    assert terminal.json("migrate", "--status") == {"found": 0, "newest": NEWEST}
    assert not (terminal.folder / "tocsin.db").exists()
    assert terminal.json("migrate")["applied"] == [f"{one.number:04d}_{one.name}" for one in migrations.migrations()]
    assert terminal.json("migrate")["applied"] == []
    assert terminal.json("migrate", "--status") == {"found": NEWEST, "newest": NEWEST}


def test_migrate_beside_a_server(terminal: Terminal, server: Server) -> None:
    """While a server runs the schema can be looked at, not changed."""
    assert terminal.json("migrate", "--status", "--db", sqlite(server.db))["found"] == NEWEST
    assert terminal("migrate", "--db", sqlite(server.db)).code == 2


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


@pytest.fixture
def doctor(terminal: Terminal):
    """``tocsin doctor`` with a free port, unless said otherwise."""

    def run(*arguments: object, code: int = 0, **variables: Any) -> Ran:
        ran = terminal("doctor", "--json", *arguments, **{"port": str(free_port())} | variables)
        assert ran.code == code, ran
        return ran

    return run


def test_a_sound_set_up(doctor, terminal: Terminal) -> None:
    """Where nothing is there yet nothing is wrong, and nothing is made by looking."""
    ran = doctor()
    assert {one["state"] for one in ran.json} <= {"ok", "warn"}
    assert findings(ran, "database") == [("ok", "tocsin.db will be made at the first start")]
    assert list(terminal.folder.iterdir()) == []
    assert "outbound guard" in terminal.ok("doctor", port=str(free_port())).out


def test_beside_a_running_server(doctor, server: Server) -> None:
    """Beside a running server its database is whole, its key fits, and the port is known to be its own."""
    ran = doctor("--db", sqlite(server.db), port=server.url.rpartition(":")[2])
    assert findings(ran, "database")[0][0] == "ok"
    assert "fits" in findings(ran, "key of the secrets")[0][1]
    [(state, detail)] = findings(ran, "port")
    assert state == "ok"
    assert "is ready" in detail


def test_the_wrong_key(doctor, server: Server) -> None:
    """A key that does not fit the database is found."""
    ran = doctor(
        "--db", sqlite(server.db), code=1, secret_key=base64.b64encode(os.urandom(32)).decode(),
        port=server.url.rpartition(":")[2],
    )  # fmt: skip
    [(state, detail)] = findings(ran, "key of the secrets")
    assert state == "fail"
    assert "not the one" in detail


def test_a_lost_key(doctor, start_server, terminal: Terminal) -> None:
    """A database with secrets whose key file is gone, or open to others, is found."""
    server = start_server()
    server.stop()
    key = server.db.with_name(server.db.name + ".key")
    key.chmod(0o644)
    assert findings(doctor("--db", sqlite(server.db), code=1), "key of the secrets")[0][0] == "fail"
    key.unlink()
    assert findings(doctor("--db", sqlite(server.db), code=1), "key of the secrets")[0][0] == "fail"


def test_a_damaged_database(doctor, terminal: Terminal) -> None:
    """A file that is no database, another program's, or damaged is found."""
    path = terminal.folder / "tocsin.db"
    path.write_bytes(b"not a database at all, only some text that is long enough" * 100)
    assert findings(doctor(code=1), "database")[0][0] == "fail"
    path.unlink()
    other = apsw.Connection(str(path))
    other.execute("CREATE TABLE things (x)")
    other.close()
    assert "another program" in findings(doctor(code=1), "database")[0][1]
    path.unlink()
    terminal.ok("migrate")
    content = bytearray(path.read_bytes())
    content[8192:16384] = b"\xff" * 8192
    path.write_bytes(content)
    assert findings(doctor(code=1), "database")[0][0] == "fail"


def test_what_is_left_open(doctor) -> None:
    """What makes a set-up unsafe or surprising is said: a guard that is open, scaled retries, misspelled variables."""
    ran = doctor(code=1, allow_http="1", allow_networks="0.0.0.0/0", retry_scale="0.5", alow_http="1")
    assert [state for state, _ in findings(ran, "outbound guard")] == ["fail", "warn"]
    details = " ".join(detail for _, detail in findings(ran, "settings"))
    assert "TOCSIN_ALOW_HTTP" in details
    assert "TOCSIN_RETRY_SCALE=0.5" in details
    assert [state for state, _ in findings(doctor(allow_networks="10.1.0.0/16"), "outbound guard")] == ["warn"]
    [(state, detail)] = findings(doctor(cue_trust_user_id="1"), "settings")
    assert state == "warn"
    assert "127.0.0.0/8" in detail


def test_a_port_taken_by_another_program(doctor, listen) -> None:
    """A port that another program serves is told apart from one that Tocsin serves."""
    port = listen().url.rpartition(":")[2]
    assert findings(doctor(code=1, port=port), "port")[0][0] == "fail"


def test_trust_anchors(doctor, terminal: Terminal) -> None:
    """A file of trust anchors that is missing or empty is found."""
    (terminal.folder / "none.pem").write_text("")
    for file in ("missing.pem", "none.pem"):
        assert findings(doctor(code=1, ca_file=file), "trust anchors")[0][0] == "fail"


def test_the_mail_server(doctor, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It is spoken with: encryption, trust and login included; what stands in the way is said."""
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    users = {"mailer": "secret"}
    with MailHost(tls=authority.issue("127.0.0.1").server(), implicit=True) as host:
        found = findings(doctor(smtp_url=host.url(), smtp_ca_file=str(authority.ca_file)), "e-mail")
        assert found == [("ok", f"127.0.0.1, port {host.port}, answers over TLSv1.3")]
        [(state, detail)] = findings(doctor(code=1, smtp_url=host.url()), "e-mail")
        assert state == "fail"
        assert "TOCSIN_SMTP_CA_FILE" in detail
    with MailHost(tls=authority.issue("127.0.0.1").server(), users=users) as host:
        trusted = {"smtp_ca_file": str(authority.ca_file)}
        found = findings(doctor(smtp_url=host.url("mailer:secret"), **trusted), "e-mail")
        assert found == [("ok", f"127.0.0.1, port {host.port}, answers over TLSv1.3, logged in")]
        [(state, detail)] = findings(doctor(code=1, smtp_url=host.url("mailer:guess"), **trusted), "e-mail")
        assert state == "fail"
        assert "535" in detail
        assert "guess" not in detail
    [(state, detail)] = findings(doctor(code=1, smtp_url=host.url()), "e-mail")
    assert state == "fail"
    assert "cannot be spoken with" in detail
    [(state, detail)] = findings(doctor(code=1, smtp_url="mail.example.com"), "e-mail")
    assert state == "fail"
    assert "TOCSIN_SMTP_URL is not understood" in detail


def test_a_folder_that_is_missing(doctor) -> None:
    """A database in a folder that does not exist is found, with the command that makes it."""
    ran = doctor("--db", "sqlite:///no/such/folder/tocsin.db", code=1)
    assert findings(ran, "database")[0][0] == "fail"
    assert "mkdir" in next(one["mend"] for one in ran.json if one["subject"] == "database")
