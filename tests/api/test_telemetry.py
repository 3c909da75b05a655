"""Metrics, the log, and the probes."""

import ast
import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.api.site import HOOK, LocalShop, Site
from tocsin.model import DeliveryState, Outcome, OutcomeKind
from tocsin.telemetry import LOG_EVENTS, METRICS, Histogram, Metrics, configure_logging

SOURCE = Path(__file__).parents[2] / "src" / "tocsin"


def scrape(site: Site) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = site.api().call("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.body.decode())
        for sample in family.samples
    }


def test_every_metric_of_the_catalogue_is_there(site: Site):
    """Each family of the catalogue is scraped, with its help and unit; and ours are all in the catalogue."""
    text = site.api().call("GET", "/metrics").body.decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for spec in METRICS:
        assert families[spec.name].type == spec.kind
        assert families[spec.name].documentation == f"{spec.help} Unit: {spec.unit}."
    assert {name for name in families if name.startswith("tocsin_")} == {spec.name for spec in METRICS}


def test_what_happens_is_counted(site: Site, shop: LocalShop):
    """Events accepted, repeated and refused, and requests, are counted once each."""
    before = scrape(site)
    shop.webhook(HOOK)
    shop.publish(external_id="m-1")
    shop.publish(external_id="m-1")
    shop.call("POST", "/v1/events", {"type": "clik", "data": {}})
    shop.call("POST", "/v1/events", {"type": "clik", "data": {}}, headers={"Idempotency-Key": "k"})
    shop.call("POST", "/v1/events/batch", {"events": [{"type": "clik", "data": {}}, shop.event()]})
    after = scrape(site)

    def rose(name: str, *labels: str) -> float:
        return after.get((name, labels), 0) - before.get((name, labels), 0)

    assert rose("tocsin_events_accepted_total") == 2
    assert rose("tocsin_events_duplicate_total") == 1
    assert rose("tocsin_events_refused_total", "unknown_event_type") == 3
    assert rose("tocsin_deliveries_created_total") == 2
    assert rose("tocsin_http_requests_total", "publish_event", "202") == 1
    assert rose("tocsin_http_requests_total", "publish_event", "200") == 1
    assert rose("tocsin_http_requests_total", "publish_event", "422") == 2
    assert rose("tocsin_http_requests_total", "create_webhook", "201") == 1
    assert rose("tocsin_commit_events_sum") == 3


def test_nobody_is_named(site: Site, shop: LocalShop):
    """A scrape shows neither accounts nor addresses."""
    shop.webhook(HOOK)
    shop.publish()
    text = site.api().call("GET", "/metrics").body.decode()
    assert shop.id not in text
    assert "127.0.0.1" not in text


def test_a_histogram_counts_by_bound():
    """A value on a bound counts below it; the last bucket holds everything."""
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 9.0):
        histogram.observe(value)
    assert histogram.buckets() == [("1.0", 2.0), ("2.0", 4.0), ("+Inf", 5.0)]
    assert histogram.total == 14.0


def test_attempts_count_by_outcome():
    """An attempt counts by how it ended, and its delivery only once it has."""
    metrics = Metrics()
    outcome = Outcome(kind=OutcomeKind.TIMEOUT, duration_us=2_000_000)
    metrics.attempt_ended(outcome, DeliveryState.RETRYING)
    metrics.attempt_ended(outcome, DeliveryState.FAILED)
    assert metrics.attempts[OutcomeKind.TIMEOUT] == 2
    assert sum(metrics.deliveries_ended.values()) == 1
    assert metrics.attempt_duration_s.total == 4.0


def test_only_gauges_are_watched():
    """Nothing but a gauge of the catalogue can be read at a scrape."""
    with pytest.raises(ValueError, match="no gauge"):
        Metrics().watch("tocsin_events_accepted", lambda: 1)
    with pytest.raises(KeyError):
        Metrics().watch("tocsin_nothing", lambda: 1)


# --- probes -------------------------------------------------------------------------------------------------------


def test_probes(tmp_path: Path):
    """A process lives while it answers; it is ready while its store is."""
    with Site(tmp_path) as site:
        assert site.api().call("GET", "/healthz").json["status"] == "ok"
        assert site.api().call("GET", "/readyz?from=balancer").json == {"status": "ready"}
        site.run(site.app.store.close())
        assert site.api().call("GET", "/healthz").status == 200
        answer = site.api().call("GET", "/readyz")
        assert (answer.status, answer.code) == (503, "store_unavailable")
        assert site.api().call("GET", "/metrics").status == 200


# --- the log ------------------------------------------------------------------------------------------------------


def test_every_log_event_is_in_the_catalogue():
    """Each event that the source logs is in the catalogue, with all its fields; and each of the catalogue is logged."""
    found: dict[str, set[str]] = {}
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "log"
            ):
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{file}:{node.lineno}: a log event has a fixed name"
                extra = next((word.value for word in node.keywords if word.arg == "extra"), None)
                keys = {key.value for key in extra.keys} if isinstance(extra, ast.Dict) else set()
                found.setdefault(name.value, set()).update(keys)
    assert set(found) <= set(LOG_EVENTS)
    for name, fields in found.items():
        assert fields <= set(LOG_EVENTS[name].fields), name
    assert set(LOG_EVENTS) - set(found) == set()


@pytest.fixture
def quiet() -> Iterator[None]:
    """Gives the log back as it was."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logging.getLogger("tocsin").level
    yield
    root.handlers[:], level, own = before
    root.setLevel(level)
    logging.getLogger("tocsin").setLevel(own)


@pytest.mark.usefixtures("quiet")
def test_a_text_line_cannot_be_forged():
    """Whatever a field holds, an event of the text log is one line."""
    stream = io.StringIO()
    configure_logging("text", stream)
    logging.getLogger("tocsin.x").warning("claim_waits", extra={"reason": 'a\n2026 INFO fine reason="b"'})
    line, rest = stream.getvalue().split("\n")
    assert rest == ""
    assert re.fullmatch(r'\S+Z WARNING claim_waits reason="a\\n2026 INFO fine reason=\\"b\\""', line)


@pytest.mark.usefixtures("quiet")
def test_a_json_line_is_an_object():
    """The JSON log has an object a line, with the trace of an error."""
    stream = io.StringIO()
    configure_logging("json", stream)
    error = RuntimeError("inside")
    logging.getLogger("tocsin.x").error("request_failed", exc_info=error, extra={"request_id": "req_1"})
    entry = json.loads(stream.getvalue())
    assert (entry["level"], entry["event"], entry["request_id"]) == ("error", "request_failed", "req_1")
    assert "RuntimeError: inside" in entry["trace"]


@pytest.mark.usefixtures("quiet")
def test_libraries_speak_only_up():
    """Of the libraries the log has warnings, of ours also what is worth knowing."""
    stream = io.StringIO()
    configure_logging("text", stream)
    logging.getLogger("uvicorn").info("no")
    logging.getLogger("tocsin.app").info("server_started")
    assert "server_started" in stream.getvalue()
    assert "no\n" not in stream.getvalue()
