"""What Tocsin tells about itself: every metric and every log event, each with its unit.

    Metrics        plain integers, raised where things happen, read when `/metrics` is asked
    LOG_EVENTS     every event of the log: meaning, fields

A log event is written as ``logging.getLogger(__name__).warning("webhook_stopped", extra={"webhook": …})``: its name is
the message, its fields are the extras. Never for single events or attempts: those are records, not log lines.

Counting costs an addition, an observation one bisection; labels are put together at scrape time only. One process, one
`Metrics`; each figure is raised from one thread. Nothing here names an account, an address or a secret: a scrape is no
way to learn who uses the system, and label values are few.
"""

import json
import logging
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TextIO

import msgspec
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

from tocsin import __version__
from tocsin.clock import rfc3339
from tocsin.model import FINAL, DeliveryState, Outcome, OutcomeKind

# === metrics ======================================================================================================


class MetricSpec(msgspec.Struct, frozen=True):
    """One family as it is scraped: counters gain `_total`, as Prometheus has it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()


METRICS: tuple[MetricSpec, ...] = (
    MetricSpec("tocsin_build", "gauge", "1", "Always 1; the label says which version runs.", ("version",)),
    MetricSpec("tocsin_events_accepted", "counter", "events", "Events made durable."),
    MetricSpec("tocsin_events_duplicate", "counter", "events", "Events answered as already known by external_id."),
    MetricSpec("tocsin_events_refused", "counter", "events", "Events refused, by code of the problem.", ("code",)),
    MetricSpec("tocsin_activities_accepted", "counter", "activities", "Activities made durable, by kind.", ("kind",)),
    MetricSpec(
        "tocsin_activities_duplicate", "counter", "activities", "Activities known by their external_id.", ("kind",)
    ),
    MetricSpec("tocsin_activities_refused", "counter", "activities", "Activities refused, by kind.", ("kind",)),
    MetricSpec(
        "tocsin_occurrences", "counter", "occurrences", "What triggers found out and fired, by name.", ("occurrence",)
    ),
    MetricSpec(
        "tocsin_events_unfired",
        "counter",
        "events",
        "Events that triggers did not make, as what happened lacks what the type requires, by type.",
        ("type",),
    ),
    MetricSpec("tocsin_decide_duration_seconds", "histogram", "seconds", "Reading for and deciding of one batch."),
    MetricSpec("tocsin_activity_commit_duration_seconds", "histogram", "seconds", "One transaction of activities."),
    MetricSpec("tocsin_activity_queue", "gauge", "activities", "Activities waiting to be decided."),
    MetricSpec("tocsin_timers_run", "counter", "timers", "Timers that were due and are done, by noun.", ("timer",)),
    MetricSpec("tocsin_deliveries_created", "counter", "deliveries", "Deliveries made for accepted events."),
    MetricSpec("tocsin_deliveries_ended", "counter", "deliveries", "Deliveries that ended, by state.", ("state",)),
    MetricSpec("tocsin_attempts", "counter", "attempts", "Attempts made, by outcome.", ("outcome",)),
    MetricSpec("tocsin_attempt_duration_seconds", "histogram", "seconds", "From the start of an attempt to its end."),
    MetricSpec(
        "tocsin_first_attempt_delay_seconds",
        "histogram",
        "seconds",
        "From an event's acceptance to the start of a delivery's first attempt.",
    ),
    MetricSpec("tocsin_commit_events", "histogram", "events", "Events written in one transaction."),
    MetricSpec("tocsin_commit_duration_seconds", "histogram", "seconds", "One transaction of events, sync included."),
    MetricSpec("tocsin_settle_attempts", "histogram", "attempts", "Outcomes written in one transaction."),
    MetricSpec("tocsin_settle_duration_seconds", "histogram", "seconds", "One transaction of outcomes."),
    MetricSpec("tocsin_claim_duration_seconds", "histogram", "seconds", "One claim of due deliveries."),
    MetricSpec("tocsin_ingest_queue", "gauge", "events", "Events waiting to be committed."),
    MetricSpec("tocsin_attempts_in_flight", "gauge", "attempts", "Attempts under way."),
    MetricSpec("tocsin_settle_queue", "gauge", "attempts", "Outcomes waiting to be written."),
    MetricSpec("tocsin_shards_held", "gauge", "shards", "Shards that this process sends for."),
    MetricSpec("tocsin_chief", "gauge", "1", "1 where this process does what is done once in the installation."),
    MetricSpec("tocsin_beats", "counter", "beats", "Signs of life to the others, by what came of them.", ("outcome",)),
    MetricSpec(
        "tocsin_tenures_lost", "counter", "tenures", "How often this process was taken for dead, and began anew."
    ),
    MetricSpec(
        "tocsin_outcomes_refused",
        "counter",
        "attempts",
        "Attempts whose outcome was refused, as another process had taken their deliveries over.",
    ),
    MetricSpec("tocsin_lanes", "gauge", "lanes", "Webhooks with something to do or a run of failures."),
    MetricSpec(
        "tocsin_deliveries_waiting", "gauge", "deliveries", "Waiting deliveries in the store, counted to a bound."
    ),
    MetricSpec("tocsin_fan_out_jobs", "gauge", "events", "Events whose deliveries are still being written."),
    MetricSpec("tocsin_store_bytes", "gauge", "bytes", "Size of the database's file."),
    MetricSpec(
        "tocsin_webhooks_disabled", "counter", "webhooks", "Webhooks disabled by the system, by cause.", ("cause",)
    ),
    MetricSpec(
        "tocsin_throttled", "counter", "answers", "Attempts that a chat refused as too fast, by channel.", ("channel",)
    ),
    MetricSpec("tocsin_notices", "counter", "e-mails", "Notices that ended, by what became of them.", ("outcome",)),
    MetricSpec("tocsin_notices_waiting", "gauge", "e-mails", "Notices that are still to be sent."),
    MetricSpec("tocsin_mail_failures", "counter", "tries", "Tries to send an e-mail that failed and are repeated."),
    MetricSpec("tocsin_http_requests", "counter", "requests", "Answers given, by operation.", ("operation", "status")),
    MetricSpec("tocsin_http_duration_seconds", "histogram", "seconds", "From a request's head to its answer."),
)

_SPECS = {spec.name: spec for spec in METRICS}

# 0.5 ms to 30 s, thinning out: the fastest loopback attempt and the longest time limit of a profile.
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0)
# Batches double up to what one transaction is bounded by.
COUNTS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0)


class Histogram:
    """Counts observations by bucket; `bounds` are upper limits, inclusive."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as Prometheus wants them: ``[("0.001", 3), …, ("+Inf", 9)]``."""
        found = []
        running = 0
        for bound, count in zip((*map(str, self.bounds), "+Inf"), self.counts, strict=True):
            running += count
            found.append((bound, float(running)))
        return found


class Metrics:
    """One process's figures. Raise them directly: ``metrics.events_accepted += 1``."""

    def __init__(self) -> None:
        # Raised by the engine.
        self.events_accepted = 0
        self.events_duplicate = 0
        self.activities_accepted: dict[str, int] = {}
        self.activities_duplicate: dict[str, int] = {}
        self.activities_refused: dict[str, int] = {}
        self.occurrences: dict[str, int] = {}
        self.events_unfired: dict[str, int] = {}
        self.decide_duration_s = Histogram(SECONDS)
        self.activity_commit_duration_s = Histogram(SECONDS)
        self.timers_run: dict[str, int] = {}
        self.deliveries_created = 0
        self.deliveries_ended: dict[DeliveryState, int] = dict.fromkeys(sorted(FINAL), 0)
        self.attempts: dict[OutcomeKind, int] = dict.fromkeys(OutcomeKind, 0)
        self.attempt_duration_s = Histogram(SECONDS)
        self.first_attempt_delay_s = Histogram(SECONDS)
        self.commit_events = Histogram(COUNTS)
        self.commit_duration_s = Histogram(SECONDS)
        self.settle_attempts = Histogram(COUNTS)
        self.settle_duration_s = Histogram(SECONDS)
        self.claim_duration_s = Histogram(SECONDS)
        self.beats: dict[str, int] = {}
        self.tenures_lost = 0
        self.outcomes_refused = 0
        self.webhooks_disabled: dict[str, int] = {}
        self.notices: dict[str, int] = {}
        self.throttled: dict[str, int] = {}
        self.mail_failures = 0
        # Raised by whoever answers the publisher, so that each refusal counts once.
        self.events_refused: dict[str, int] = {}
        self.http_requests: dict[tuple[str, int], int] = {}
        self.http_duration_s = Histogram(SECONDS)
        self._gauges: dict[str, Callable[[], float]] = {}
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def watch(self, name: str, read: Callable[[], float]) -> None:
        """Has a gauge of the catalogue read by calling `read` at each scrape, for instance ``watch("tocsin_lanes",
        lambda: len(lanes))``.
        """
        if _SPECS[name].kind != "gauge":
            raise ValueError(f"{name} is no gauge")
        self._gauges[name] = read

    def set(self, name: str, value: float) -> None:
        """Sets a gauge of the catalogue that is read from elsewhere just before a scrape."""
        self.watch(name, lambda: value)

    def attempt_ended(self, outcome: Outcome, state: DeliveryState) -> None:
        """`state`: what became of the delivery by it."""
        self.attempts[outcome.kind] += 1
        self.attempt_duration_s.observe(outcome.duration_us / 1e6)
        if state in self.deliveries_ended:
            self.deliveries_ended[state] += 1

    def refused(self, code: str) -> None:
        self.events_refused[code] = self.events_refused.get(code, 0) + 1

    def answered(self, operation: str, status: int) -> None:
        key = (operation, status)
        self.http_requests[key] = self.http_requests.get(key, 0) + 1

    def disabled(self, cause: str) -> None:
        """`cause` is one of few words: ``gone``, ``stopped``, ``failing``, ``exhausted``."""
        self.webhooks_disabled[cause] = self.webhooks_disabled.get(cause, 0) + 1

    def throttled_by(self, channel: str) -> None:
        raise_by(self.throttled, channel)

    def notice_ended(self, outcome: str) -> None:
        """``sent``, ``refused`` by the mail server, ``expired``, or ``moot``: no longer so, or nobody to tell."""
        self.notices[outcome] = self.notices.get(outcome, 0) + 1

    def exposition(self) -> bytes:
        """The text format of Prometheus, version 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        yield _gauge("tocsin_build", 1, {"version": __version__})
        yield _counter("tocsin_events_accepted", [((), self.events_accepted)])
        yield _counter("tocsin_events_duplicate", [((), self.events_duplicate)])
        yield _counter("tocsin_events_refused", [((code,), n) for code, n in self.events_refused.items()])
        yield _counter("tocsin_activities_accepted", _by_label(self.activities_accepted))
        yield _counter("tocsin_activities_duplicate", _by_label(self.activities_duplicate))
        yield _counter("tocsin_activities_refused", _by_label(self.activities_refused))
        yield _counter("tocsin_occurrences", _by_label(self.occurrences))
        yield _counter("tocsin_events_unfired", _by_label(self.events_unfired))
        yield _counter("tocsin_timers_run", _by_label(self.timers_run))
        yield _counter("tocsin_deliveries_created", [((), self.deliveries_created)])
        yield _counter("tocsin_deliveries_ended", [((state,), n) for state, n in self.deliveries_ended.items()])
        yield _counter("tocsin_attempts", [((kind,), n) for kind, n in self.attempts.items()])
        yield _counter("tocsin_beats", _by_label(self.beats))
        yield _counter("tocsin_tenures_lost", [((), self.tenures_lost)])
        yield _counter("tocsin_outcomes_refused", [((), self.outcomes_refused)])
        yield _counter("tocsin_webhooks_disabled", [((cause,), n) for cause, n in self.webhooks_disabled.items()])
        yield _counter("tocsin_throttled", _by_label(self.throttled))
        yield _counter("tocsin_notices", [((outcome,), n) for outcome, n in self.notices.items()])
        yield _counter("tocsin_mail_failures", [((), self.mail_failures)])
        yield _counter(
            "tocsin_http_requests",
            [((operation, str(status)), n) for (operation, status), n in self.http_requests.items()],
        )
        yield _histogram("tocsin_attempt_duration_seconds", self.attempt_duration_s)
        yield _histogram("tocsin_first_attempt_delay_seconds", self.first_attempt_delay_s)
        yield _histogram("tocsin_commit_events", self.commit_events)
        yield _histogram("tocsin_commit_duration_seconds", self.commit_duration_s)
        yield _histogram("tocsin_decide_duration_seconds", self.decide_duration_s)
        yield _histogram("tocsin_activity_commit_duration_seconds", self.activity_commit_duration_s)
        yield _histogram("tocsin_settle_attempts", self.settle_attempts)
        yield _histogram("tocsin_settle_duration_seconds", self.settle_duration_s)
        yield _histogram("tocsin_claim_duration_seconds", self.claim_duration_s)
        yield _histogram("tocsin_http_duration_seconds", self.http_duration_s)
        for name, read in self._gauges.items():
            yield _gauge(name, read())


def raise_by(counts: dict[str, int], label: str, by: int = 1) -> None:
    """Counts one more, or so many, under that label."""
    counts[label] = counts.get(label, 0) + by


def _by_label(counts: Mapping[str, int]) -> list[tuple[tuple[str, ...], int]]:
    return [((label,), n) for label, n in counts.items()]


def _counter(name: str, samples: Iterable[tuple[tuple[str, ...], int]]) -> CounterMetricFamily:
    spec = _SPECS[name]
    family = CounterMetricFamily(name, _help(spec), labels=spec.labels)
    for labels, value in samples:
        family.add_metric(labels, value)
    return family


def _gauge(name: str, value: float, labels: Mapping[str, str] | None = None) -> GaugeMetricFamily:
    spec = _SPECS[name]
    family = GaugeMetricFamily(name, _help(spec), labels=spec.labels)
    family.add_metric(tuple((labels or {}).values()), value)
    return family


def _histogram(name: str, histogram: Histogram) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, _help(_SPECS[name]))
    family.add_metric((), histogram.buckets(), histogram.total)
    return family


def _help(spec: MetricSpec) -> str:
    return f"{spec.help} Unit: {spec.unit}."


# === the log ======================================================================================================


class LogSpec(msgspec.Struct, frozen=True):
    """`fields` names each field that the event may carry, with its meaning or unit."""

    meaning: str
    fields: Mapping[str, str] = msgspec.field(default_factory=dict)


_WEBHOOK = {"webhook": "its id", "reason": "why"}
_SHARDS = {"shards": "how many", "held": "how many it has now"}
_WHY = {"reason": "why"}
_NOTICE = {"webhook": "its id", "notice": "its id, as in the Message-ID"}

LOG_EVENTS: Mapping[str, LogSpec] = {
    # life
    "server_started": LogSpec("The server takes requests.", {"address": "where", "db": "store", "version": "its own"}),
    "server_stopping": LogSpec("No new work is begun; attempts under way may end.", {"drain_s": "seconds at most"}),
    "server_stopped": LogSpec("Everything that was begun is written down."),
    "retries_scaled": LogSpec("TOCSIN_RETRY_SCALE: retries do not follow the schedules.", {"scale": "factor"}),
    "guard_opened": LogSpec(
        "The outbound guard lets through more than public https addresses.",
        {"allow_http": "yes or no", "allow_networks": "CIDRs"},
    ),
    "user_ids_trusted": LogSpec(
        "TOCSIN_CUE_TRUST_USER_ID: whoever sends from these networks can name an account without its key.",
        {"proxies": "CIDRs"},
    ),
    # webhooks
    "webhook_failing": LogSpec("A webhook has failed for long; its owner was warned.", _WEBHOOK),
    "webhook_stopped": LogSpec(
        "The system disabled a webhook; its deliveries wait.", {**_WEBHOOK, "state": "disabled or failed"}
    ),
    "webhook_moved": LogSpec("A chat has another address from now on; its webhook was given it.", _WEBHOOK),
    "chat_throttled": LogSpec(
        "A chat takes messages more slowly; all webhooks that share its pace wait.",
        {**_WEBHOOK, "channel": "which", "wait_s": "seconds"},
    ),
    "reading_failed": LogSpec(
        "What a chat answered could not be read; it counts by its status.", {"webhook": "its id", "channel": "which"}
    ),
    "caretaking_failed": LogSpec("A webhook's state could not be written; the next attempt tries again.", _WHY),
    # e-mail to the owners of webhooks
    "notice_sent": LogSpec(
        "The mail server took an e-mail.", {**_NOTICE, "kind": "failing, disabled, failed or confirm"}
    ),
    "notice_postponed": LogSpec(
        "The mail server did not take an e-mail; it is tried again.", {**_NOTICE, **_WHY, "wait_s": "seconds"}
    ),
    "notice_refused": LogSpec("The mail server refused an e-mail for good; it is not sent.", {**_NOTICE, **_WHY}),
    "notice_dropped": LogSpec("An e-mail could not be sent for three days and is given up.", {**_NOTICE, **_WHY}),
    "mail_paused": LogSpec(
        "The mail server cannot be used; all e-mails wait, and are tried again.", {**_WHY, "wait_s": "seconds"}
    ),
    "notices_wait": LogSpec("The e-mails to send could not be read or written; tried again.", _WHY),
    "mailer_failed": LogSpec("Sending e-mails ended in an unexpected error; tried again in a minute."),
    "filter_unusable": LogSpec("A filter of an older version is refused by this one; it takes nothing.", _WEBHOOK),
    "render_failed": LogSpec("An event could not be rendered for a webhook.", {"delivery": "its number"}),
    # the store
    "store_failed": LogSpec("A transaction failed and was rolled back.", {**_WHY, "jobs": "calls that waited for it"}),
    "burial_failed": LogSpec(
        "A process that is gone could not be put away yet; tried again at the next beat.", {"node": "its epoch", **_WHY}
    ),
    "sessions_cut": LogSpec(
        "Database sessions were ended whose process had fallen silent within a transaction.", {"sessions": "how many"}
    ),
    "news_off": LogSpec(
        "Processes do not hear from one another any more; everything is still found by looking, a little later.", _WHY
    ),
    "news_on": LogSpec("Processes hear from one another again."),
    "commit_failed": LogSpec("Events could not be written; who sent them was told.", {"events": "how many", **_WHY}),
    "activities_failed": LogSpec(
        "Activities could not be written; who posted them was told.", {"accounts": "how many", **_WHY}
    ),
    "deciding_failed": LogSpec(
        "An unexpected error while an activity was decided; it alone failed.",
        {"account": "its id", "of": "the kind of activity, timer, or change"},
    ),
    "event_unfired": LogSpec(
        "Events were not made: what their type requires was not posted. The activities count all the same.",
        {
            "account": "its id",
            "events": "how many",
            "type": "theirs",
            "occurrence": "what would have fired the first",
            "reason": "what is wrong with the first",
        },
    ),
    "trigger_settings_unusable": LogSpec(
        "An account's trigger settings are refused by this version; the defaults hold.", {"account": "its id", **_WHY}
    ),
    "timer_postponed": LogSpec(
        "A timer that is due could not be done; it is tried again.",
        {"account": "its id", "timer": "its noun", **_WHY, "wait_s": "seconds"},
    ),
    "opening_failed": LogSpec(
        "What triggers need of an account could not be set up; its first activity, or the next start, does it.",
        {"account": "its id", **_WHY},
    ),
    "timers_wait": LogSpec("Timers that are due could not be read; tried again.", _WHY),
    "hand_over_failed": LogSpec("An event is stored, but could not be handed to its lanes.", {"event": "its id"}),
    "gathering_waits": LogSpec(
        "What was claimed for a chat or a mail address could not be sorted and counted; it waits again.",
        _WHY,
    ),
    "gathering_failed": LogSpec("The same, and a defect: the traceback says where."),
    "claim_waits": LogSpec("Due deliveries could not be claimed; tried again in a second.", _WHY),
    "profile_missing": LogSpec(
        "Accounts have a profile that is not there: they are answered 503, and their deliveries wait.",
        {"profile": "its name", "accounts": "how many"},
    ),
    "knowledge_renewed": LogSpec("Files of TOCSIN_KNOWLEDGE have changed and were read again."),
    "knowledge_kept": LogSpec(
        "A file of TOCSIN_KNOWLEDGE has changed and is not understood; what was known of addresses stays.", _WHY
    ),
    "claim_failed": LogSpec("A claim ended in an unexpected error; tried again in a second."),
    "drop_failed": LogSpec("Deliveries of a deleted webhook could not be cancelled; the next start does it.", _WHY),
    "fan_out_waits": LogSpec("Deliveries of an event with many webhooks could not be written; tried again.", _WHY),
    "strays_found": LogSpec(
        "Deliveries were claimed by commits whose outcome was unknown; they are given back, and sent.",
        {"deliveries": "how many"},
    ),
    "strays_unknown": LogSpec("The store could not be asked for such deliveries; tried again in ten seconds.", _WHY),
    "strays_failed": LogSpec("Looking for such deliveries ended in an unexpected error; tried again in ten seconds."),
    "settle_waits": LogSpec(
        "Outcomes could not be written; sending pauses until they are.", {"attempts": "how many", **_WHY}
    ),
    "settle_refused": LogSpec("One outcome cannot be written; its delivery is sent again.", {"delivery": "its number"}),
    "outcomes_refused": LogSpec(
        "Outcomes of attempts are not written: others have taken their deliveries over, and may send them again.",
        {"outcomes": "how many", "deliveries": "ids of the first"},
    ),
    # this process among the others
    "joined": LogSpec(
        "This process is one of those that work on the database.", {"epoch": "its number", "node": "of ids"}
    ),
    "beat_unanswered": LogSpec(
        "The store did not take a sign of life; tried again. Sending stops by itself before others take over.", _WHY
    ),
    "beat_answered": LogSpec("The store takes signs of life again."),
    "beat_late": LogSpec("A sign of life came late: the process was busy, or stopped.", {"late_s": "seconds"}),
    "beat_failed": LogSpec("A sign of life ended in an unexpected error; tried again."),
    "nodes_buried": LogSpec("Processes were taken for dead; others have what they sent for.", {"nodes": "how many"}),
    "tenure_lost": LogSpec(
        "This process was taken for dead; it begins anew. The outcomes of its attempts under way will be refused.",
        {"epoch": "its number until now", "attempts": "under way"},
    ),
    "shards_taken": LogSpec("This process sends for more shards.", _SHARDS),
    "shards_given": LogSpec("Shards were given to other processes.", _SHARDS),
    "shards_wait": LogSpec("Shards could not be taken or given; tried again.", {"shards": "how many", **_WHY}),
    "shards_failed": LogSpec("Taking or giving shards ended in an unexpected error."),
    "leave_failed": LogSpec("This process could not say that it ends; others find out within seconds.", _WHY),
    "news_lost": LogSpec(
        "What happened could not be told to other processes; they find out by looking.", {"lines": "how many", **_WHY}
    ),
    "changes_wait": LogSpec("What other processes have changed could not be read; tried again.", _WHY),
    "look_waits": LogSpec("The store could not be looked through for what waits; tried again.", _WHY),
    "partitions_wait": LogSpec(
        "Others were using a log while its next weeks were to be made; tried again later.",
        {"table": "which log", **_WHY},
    ),
    "purge_waits": LogSpec("Retention could not remove what is old; tried again later.", _WHY),
    "purged": LogSpec(
        "Retention removed what was old.",
        {
            **dict.fromkeys(("bodies", "events", "deliveries", "attempts", "dedupe", "idempotency"), "rows"),
            **dict.fromkeys(("accounts", "activities"), "rows"),
            "remembered": "what triggers remembered, rows",
        },
    ),
    # the API
    "request_failed": LogSpec(
        "A request ended in an unexpected error.",
        {"request_id": "as answered", "operation": "which", "status": "answered"},
    ),
    "answer_not_kept": LogSpec("The answer to an Idempotency-Key could not be kept; repeating it says: running.", _WHY),
    "keys_unverified": LogSpec("Revoked keys could not be read; every key is looked up anew until they can.", _WHY),
    "key_uses_lost": LogSpec("When keys were last used could not be written.", _WHY),
}

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name not in _STANDARD}


class _Lines(logging.Formatter):
    """``2026-01-01T00:00:00.000Z WARNING webhook_stopped webhook="wh_…" reason="…"``: values are JSON, so that
    nothing foreign can forge a line.
    """

    def format(self, record: logging.LogRecord) -> str:
        message = record.getMessage().replace("\r", "\\r").replace("\n", "\\n")
        parts = [rfc3339(int(record.created * 1000)), record.levelname, message]
        parts.extend(f"{name}={_json(value)}" for name, value in _fields(record).items())
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "at": rfc3339(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            entry["trace"] = self.formatException(record.exc_info)
        return _json(entry)


def configure_logging(log_format: str, stream: TextIO | None = None) -> None:
    """Sends the log of Tocsin, and warnings of the libraries, to stderr (or `stream`) as ``text`` or ``json`` lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLines() if log_format == "json" else _Lines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tocsin").setLevel(logging.INFO)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
