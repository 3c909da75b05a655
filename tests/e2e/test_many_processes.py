"""Several real processes on one PostgreSQL database: what one of them is told holds in all of them."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.postgres import database, drop
from tests.support.server import Server

StartServer = Callable[..., Server]

KEY = base64.b64encode(bytes(32)).decode()


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield asyncio.run(database(tmp_path))
    asyncio.run(drop(tmp_path))


# --- roles ----------------------------------------------------------------------------------------------------------


def test_a_worker_answers_probes_only(url: str, start_server: StartServer) -> None:
    """It says that it lives and is ready, gives its figures, and for everything else says who is to be asked."""
    worker = start_server(db=url, secret_key=KEY, role="worker", public_url="https://tocsin.example.com")
    call = worker.operator.call
    assert call("GET", "/healthz").json["role"] == "worker"
    assert call("GET", "/readyz").status == 200
    assert b"tocsin_attempts_in_flight 0.0" in call("GET", "/metrics").body
    for method, path in (("GET", "/v1/accounts"), ("POST", "/v1/events"), ("GET", "/docs"), ("GET", "/nonsense")):
        answer = call(method, path, {} if method == "POST" else None)
        assert (answer.status, answer.code) == (404, "not_served_here"), path
        assert "worker" in answer.json["detail"]
        assert "https://tocsin.example.com" in answer.json["detail"]
    assert call("GET", "/api/v1/webhooks").json.keys() == {"error"}  # in the form that its clients know
    assert "operator's key" not in worker.log.read_text()
    assert worker.stop() == 0
