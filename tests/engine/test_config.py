"""Settings: where they come from, which counts, and what is refused before anything starts."""

from pathlib import Path

import pytest

from tocsin.config import load
from tocsin.errors import Misconfigured


def test_flags_count_before_variables_and_these_before_the_file(tmp_path: Path):
    """The nearest hand wins; what nobody sets has its default."""
    file = tmp_path / "tocsin.toml"
    file.write_text('port = 1\nhost = "10.0.0.1"\nlog_format = "json"\n')
    settings = load({"port": 3, "host": None}, {"TOCSIN_PORT": "2", "TOCSIN_HOST": "10.0.0.2"}, file)
    assert (settings.port, settings.host, settings.log_format, settings.drain_s) == (3, "10.0.0.2", "json", 30.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "99999"),
        ("PORT", "http"),
        ("DRAIN_S", "-1"),
        ("BODY_DAYS", "-5"),
        ("ATTEMPT_DAYS", "0"),
        ("LOG_FORMAT", "xml"),
        ("ROLE", "nonsense"),
        ("RETRY_SCALE", "0"),
        ("RETRY_SCALE", "nan"),
        ("ALLOW_NETWORKS", "127.0.0.0/99"),
        ("SECRET_KEY", "dG9vIHNob3J0"),
        ("ALLOW_HTTP", "perhaps"),
        ("CUE_TRUST_USER_ID", "yes please"),
        ("TRUSTED_PROXIES", "gateway.example.com"),
        ("TRUSTED_PROXIES", "10.0.0.1/8"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, 0.0.0.0/0"),
        ("TRUSTED_PROXIES", "::/0"),
    ],
)
def test_a_value_that_makes_no_sense_stops_the_start(name: str, value: str):
    """Nothing is guessed: the sentence names what is wrong."""
    with pytest.raises(Misconfigured, match=f"TOCSIN_{name}"):
        load({}, {f"TOCSIN_{name}": value})


def test_gateways_are_trusted_only_from_somewhere():
    """Whoever trusts what a gateway says must say where the gateway is; unless said otherwise it is on this machine."""
    settings = load({}, {"TOCSIN_CUE_TRUST_USER_ID": "1"})
    assert [str(one) for one in settings.proxies()] == ["127.0.0.0/8", "::1/128"]
    assert load({}, {}).cue_trust_user_id is False
    with pytest.raises(Misconfigured, match="TOCSIN_TRUSTED_PROXIES"):
        load({"cue_trust_user_id": True, "trusted_proxies": " , "}, {})


def test_an_unknown_name_in_the_file_is_said(tmp_path: Path):
    """A slip of the pen does not silently leave a default in force."""
    file = tmp_path / "tocsin.toml"
    file.write_text("prot = 1\n")
    with pytest.raises(Misconfigured, match="prot"):
        load({}, {}, file)


def test_roles_share_a_postgresql_database():
    """On a file one process does everything; each role says what a process of it does."""
    alone = load({"role": "worker"}, {})
    with pytest.raises(Misconfigured, match="TOCSIN_ROLE=worker: one process does everything on SQLite"):
        alone.sqlite_path()
    found = {}
    for role in ("all", "api", "worker"):
        settings = load({"role": role, "db": "postgresql://db.example.com/tocsin"}, {})
        assert settings.postgres_url() == "postgresql://db.example.com/tocsin"
        found[role] = (settings.serves_api, settings.sends)
    assert found == {"all": (True, True), "api": (True, False), "worker": (False, True)}
