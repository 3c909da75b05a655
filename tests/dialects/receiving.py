"""The receivers of `receivers/` as processes, each with a ledger: what arrived, and what it thought of it.

with Receiver(RECEIVERS["cue-node"], secret, folder) as receiver:
    receiver.url                                         # where a webhook may send to
    [arrival] = receiver.wait_for(1)
    receiver.hear(arrival.body, arrival.headers)         # the same once more, without Tocsin between
"""

import base64
import http.client
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.api import Json, Shop
from tests.support.runtimes import runtime
from tests.support.waiting import until

SCRIPTS = Path(__file__).parent / "receivers"
START_S = 20.0  # far more than any of them takes; the machine may be busy with other tests
NOWHERE = "http://127.0.0.1:65535/"  # an address for a webhook whose receiver does not run yet

_PHP_PORT = re.compile(r"Development Server \(http://127\.0\.0\.1:(\d+)\)")


@dataclass(frozen=True)
class Kind:
    """One receiver of one document."""

    profile: str
    script: str
    header: str  # that it verifies, in lower case
    webhook: Mapping[str, Json] = field(default_factory=dict)  # settings that its webhook has
    environ: Mapping[str, str] = field(default_factory=dict)
    covers_body: bool = True  # what is signed is the body, not the right to send anything
    rewrites_body: bool = False  # what is verified is what was parsed, written again
    max_age_s: int | None = None

    @property
    def command(self) -> list[str]:
        path = str(SCRIPTS / self.script)
        match Path(path).suffix:
            case ".php":
                return [runtime("php"), "-d", "display_errors=0", "-S", "127.0.0.1:0", path]
            case ".js":
                return [runtime("node"), path]
            case _:
                return [runtime("python"), path]


_OWN_HEADER = "X-CRM-Key"

RECEIVERS = {
    "cloakradar-php": Kind("cloakradar", "cloakradar.php", "x-cloakradar-signature"),
    "cloakradar-node": Kind(
        "cloakradar", "cloakradar.js", "x-cloakradar-signature", webhook={"secret": "your_webhook_secret"}
    ),
    "clickdefender-node": Kind("clickdefender", "clickdefender.js", "x-clickdefender-signature", rewrites_body=True),
    "clickdefender-python": Kind("clickdefender", "clickdefender.py", "x-clickdefender-signature"),
    "trcker-node": Kind(
        "trcker",
        "trcker.js",
        "x-trcker-signature",
        webhook={"secret": "your_signing_secret_here"},  # without one it is not signed
        max_age_s=300,
    ),
    "visits-python-token": Kind("visits", "visits_token.py", "x-webhook-signature", covers_body=False),
    "visits-python-own-header": Kind(
        "visits",
        "visits_token.py",
        _OWN_HEADER.lower(),
        webhook={"options": {"signature_header": _OWN_HEADER}},
        environ={"HEADER": _OWN_HEADER},
        covers_body=False,
    ),
    "visits-node-hmac": Kind(
        "visits", "visits_hmac.js", "x-webhook-signature", webhook={"options": {"signature": "hmac"}}
    ),
    "cue-node": Kind("cue", "cue.js", "cue-signature", webhook={"secret": "s3cr3t/with=all+of~it"}),
    "cue-python": Kind("cue", "cue.py", "cue-signature"),
}


@dataclass(frozen=True)
class Arrival:
    """A line of a receiver's ledger."""

    status: int  # what it answered: 200 verified, anything else not
    fault: str | None  # what its code threw
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def verified(self) -> bool:
        return self.status == 200

    @property
    def json(self) -> Json:
        return json.loads(self.body)


class Receiver:
    def __init__(self, kind: Kind, secret: str, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.kind = kind
        self.log = folder / "stderr.log"
        self.ledger: list[Arrival] = []
        self._secret = secret
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._reader = threading.Thread(target=self._read, name=kind.script, daemon=True)

    def __enter__(self) -> Self:
        environ = os.environ | {"SECRET": self._secret, "PYTHONDONTWRITEBYTECODE": "1"} | self.kind.environ
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.kind.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=environ
            )
        self._reader.start()
        until(self._find_port, lambda: f"a start of {self.kind.script}\n{self.log_tail()}", START_S)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process
        self._process.kill()
        self._process.wait(10)
        self._reader.join(10)

    def _find_port(self) -> bool:
        assert self._process
        assert self._process.poll() is None, f"{self.kind.script} ended\n{self.log_tail()}"
        if self.kind.script.endswith(".php") and (found := _PHP_PORT.search(self.log.read_text())):
            self._port = int(found[1])
        return self._port is not None

    def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        with self._process.stdout as lines:
            for text in lines:
                line: dict[str, Any] = json.loads(text)
                if "port" in line:
                    self._port = line["port"]
                else:
                    body = base64.b64decode(line["body"])
                    self.ledger.append(Arrival(line["status"], line.get("fault"), line["headers"], body))

    # --- what a test says and asks ------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/webhooks"

    def wait_for(self, count: int, within_s: float = 15.0) -> list[Arrival]:
        """The ledger, once it holds so many requests."""
        until(lambda: len(self.ledger) >= count, lambda: f"{count} requests; there are {len(self.ledger)}", within_s)
        return list(self.ledger)

    def of(self, event_id: str) -> list[Arrival]:
        """The requests that brought an event."""
        return [arrival for arrival in list(self.ledger) if arrival.headers["webhook-id"] == event_id]

    def last_of(self, event_id: str) -> Arrival:
        """The last request that brought an event, once there is one."""
        return until(lambda: self.of(event_id), lambda: f"the arrival of {event_id}\n{self.log_tail()}")[-1]

    def hear(self, body: bytes, headers: Mapping[str, str]) -> Arrival:
        """Sends it a request with these headers (but for those of the connection); what it thought of it."""
        before = len(self.ledger)
        own = {"host", "content-length", "connection", "accept", "accept-encoding"}
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        try:
            connection.request("POST", "/webhooks", body, {k: v for k, v in headers.items() if k.lower() not in own})
            status = connection.getresponse().status
        finally:
            connection.close()
        arrival = self.wait_for(before + 1)[before]
        assert arrival.status == status
        return arrival

    def log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])


class Subscription:
    """A webhook of an account of the receiver's profile, and the receiver that was started with its secret."""

    def __init__(self, shop: Shop, hook: Json, receiver: Receiver) -> None:
        self.shop = shop
        self.hook = hook
        self.id: str = hook["id"]
        self.secret: str = hook["secret"]
        self.receiver = receiver
        self.kind = receiver.kind

    def test(self, type_: str | None = None) -> Json:
        """Sends a test; the attempt as it went."""
        return self.shop.post(f"/v1/webhooks/{self.id}/test", {} if type_ is None else {"type": type_})

    def publish(self) -> str:
        """Publishes one event, of the profile's first type; its id."""
        receipt = self.shop.publish(event_types(self.shop)[0]["name"])
        assert receipt["matched"] == 1
        return receipt["id"]

    def point_to(self, receiver: Receiver) -> None:
        self.shop.change(self.id, url=receiver.url)


def subscribe(shop: Shop, kind: Kind, start: Callable[[Kind, str], Receiver], **settings: Json) -> Subscription:
    """A webhook for everything, and its receiver, which can only start once the secret is known."""
    hook = shop.webhook(NOWHERE, enabled=False, **{**kind.webhook, **settings})
    subscription = Subscription(shop, hook, start(kind, hook["secret"]))
    subscription.point_to(subscription.receiver)
    shop.post(f"/v1/webhooks/{hook['id']}/enable")
    return subscription


def event_id_of(attempt: Json) -> str:
    """Which event an attempt carried: a test's has no other name."""
    return {name.lower(): value for name, value in attempt["request"]["headers"].items()}["webhook-id"]


def event_types(shop: Shop) -> list[Json]:
    return list(shop.pages("/v1/event-types"))
