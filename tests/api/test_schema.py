"""The description itself as the test: requests generated from it, right ones and wrong ones, one by one and in
sequences, against a real server with two accounts.

No request is answered with an error of ours, every answer is what the description says, and nothing of one account can
be reached with the other's key.
"""

import copy
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import rule
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.specs.openapi.stateful import OpenAPIStateMachine

from tests.api.conformity import description, profile_of
from tests.api.site import HOOK
from tests.support.api import CLICK, Shop
from tests.support.server import Server
from tocsin.api import routes
from tocsin.profiles import load

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]

# The same requests in every run: a failure is then one of the change that was made.
BOUNDS = {"deadline": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}

_ALERT: dict[str, Any] = {
    "metric": {"const": "clicks"},
    "op": {"const": ">"},
    "threshold": {"const": "5"},
    "window_s": {"const": 3600},
}

# What makes the requests of sequences succeed.
NARROW: dict[str, Any] = {
    "NewKey": {"scopes": {"const": ["read"]}},
    "NewEvent": {
        "type": {"const": CLICK},
        "data": {"const": load("standard").catalogue[CLICK].event_type.example},
        "timestamp": {"const": "2026-01-01T00:00:00Z"},
    },
    "NewWebhook": {
        "url": {"const": HOOK},
        "events": {"enum": [["*"], ["click.*"], [CLICK]]},
        "filter": {"const": None},
        "headers": {"const": {}},
        "options": {"const": {}},
        "secret": {"const": None},
        "channel": {"const": "standard"},
    },
    "WebhookPatch": {"url": {"const": HOOK}, "events": {"const": ["*"]}, "filter": {"const": None}},
    "TestAsked": {"type": {"const": CLICK}},
    "PreviewAsked": {"type": {"const": CLICK}, "event_id": {"const": None}},
    "Rotation": {"secret": {"const": None}},
    "DisableAsked": {"reason": {"const": "a test"}},
    "NewAlert": _ALERT,
    "AlertBacktestAsked": _ALERT,
    "WebhookBacktestAsked": {"webhook_id": {"const": None}, "events": {"const": ["*"]}, "filter": {"const": None}},
}

_NOUNS = [["webhooks"], ["events"], ["deliveries"], ["keys"], ["alerts"], ["postback-tokens"]]
_OPERATORS = {one.id for one in routes.OPERATIONS if one.access == "operator"}
_PROFILES = {one.id: profile_of(one) for one in routes.OPERATIONS}

Shops = Callable[[str], Shop]


@pytest.fixture(scope="module")
def shops(server: Server) -> Shops:
    """An account of each profile, made when it is first asked for."""
    return cache(lambda profile: server.operator.shop(profile=profile))


schema = schemathesis.openapi.from_dict(description())


def name_of(case: Any) -> str:
    return str(case.operation.definition.raw["operationId"])


def key_for(operation: Any, shops: Shops, server: Server) -> dict[str, str]:
    name = operation.definition.raw["operationId"]
    key = server.operator_key if name in _OPERATORS else shops(_PROFILES[name]).key
    # Where x-user-id counts, it says the same: what is generated for it would refuse nearly every request.
    said = {"x-user-id": key} if _PROFILES[name] == "cue" else {}
    return {"Authorization": f"Bearer {key}", **said}


@schema.parametrize()
@settings(max_examples=12, **BOUNDS)
def test_every_operation_answers_as_described(case: Any, server: Server, shops: Shops):
    """Whatever is sent to an operation, its answer is one that the description has."""
    case.call_and_validate(base_url=server.url, headers=key_for(case.operation, shops, server), checks=CHECKS)


def narrowed() -> Any:
    """The description, its requests narrowed to what succeeds, so that sequences get somewhere."""
    found = copy.deepcopy(description())
    schemas = found["components"]["schemas"]
    for name, properties in NARROW.items():
        schemas[name]["properties"] |= properties
        schemas[name]["required"] = [*properties]
    for path in list(found["paths"]):
        if path.split("/")[2:3] not in _NOUNS:
            del found["paths"][path]
    del found["paths"]["/v1/events/batch"]
    del found["paths"]["/v1/keys"]["get"]  # it would lead to the key that the run itself uses, and revoke it
    for path in found["paths"].values():
        for one in path.values():
            one["parameters"] = [each for each in one["parameters"] if each["in"] == "path"]
    return found


class Sequences(OpenAPIStateMachine):
    """Each run has two accounts of its own. Whatever one of them made is first asked for with the other's key."""

    server: ClassVar[Server]
    seen: ClassVar[Counter[str]]

    def setup(self) -> None:
        operator = self.server.operator
        self.mine, self.others = operator.shop("mine"), operator.shop("others")
        self.refused = 0
        self.mine.webhook(HOOK)
        self.mine.publish()

    @rule()
    def publish(self) -> None:
        """Something to deliver: without it most sequences would find nothing that waits."""
        event = self.mine.publish()["id"]
        assert self.mine.call("GET", f"/v1/events/{event}").status == 200
        assert self.others.call("GET", f"/v1/events/{event}").status == 404
        self.seen["kept apart"] += 1

    def get_call_kwargs(self, case: Any) -> dict[str, Any]:
        return {"base_url": self.server.url, "headers": key_for(case.operation, lambda _: self.mine, self.server)}

    def before_call(self, case: Any) -> None:
        self.refused = 0
        if name_of(case) not in _OPERATORS and any(name.endswith("_id") for name in case.path_parameters):
            answer = case.call(base_url=self.server.url, headers={"Authorization": f"Bearer {self.others.key}"})
            assert answer.status_code < 500, answer.text
            self.refused = answer.status_code

    def validate_response(self, response: Any, case: Any, **_: Any) -> None:
        case.validate_response(response, checks=CHECKS)
        self.seen[f"{name_of(case)} {response.status_code}"] += 1
        if self.refused and response.status_code < 300:
            assert self.refused == 404, f"{name_of(case)} with another account's key: {self.refused}"
            self.seen["kept apart"] += 1


def test_sequences_keep_accounts_apart(server: Server):
    """What one account makes can be used by it, step after step, and is a 404 to the other at every step."""
    narrow = schemathesis.openapi.from_dict(narrowed())
    narrow.config.generation.update(
        modes=[GenerationMode.POSITIVE], with_security_parameters=False, allow_extra_parameters=False
    )
    base = narrow.as_state_machine()
    machine = type("Machine", (Sequences, base), {"server": server, "seen": Counter()})
    machine.run(settings=settings(max_examples=40, stateful_step_count=12, phases=[Phase.generate], **BOUNDS))
    assert machine.seen["kept apart"] >= 100
