"""Dialects, and a real JavaScript engine to ask."""

import base64
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tocsin.clock import Millis
from tocsin.profiles import Facts, Profile, load
from tocsin.profiles.loader import read_profile

DIALECTS = Path(__file__).parent / "dialects"

# Which vendor's receiver each of the test dialects speaks to.
SPOKEN = {
    "standard": "standard",
    "enveloped": "cloakradar",
    "merged": "clickdefender",
    "timestamped": "trcker",
    "bare": "visits",
    "versioned": "cue",
}

_SCRIPT = """
const lines = require("node:readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  let answer;
  try {
    answer = "+" + Buffer.from(JSON.stringify(JSON.parse(Buffer.from(line, "base64").toString()))).toString("base64");
  } catch (error) {
    answer = "-" + Buffer.from(String(error)).toString("base64");
  }
  process.stdout.write(answer + "\\n");
});
"""


class Node:
    """One Node process, asked line by line. Where there is no Node, tests that ask it fail."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(["node", "-e", _SCRIPT], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def reparse(self, text: bytes) -> bytes | None:
        """``JSON.stringify(JSON.parse(text))``, or None where JavaScript takes it for no JSON."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(base64.b64encode(text) + b"\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer[:1] in (b"+", b"-"), "node has gone"
        return base64.b64decode(answer[1:]) if answer[:1] == b"+" else None

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    node = Node()
    yield node
    node.close()


@pytest.fixture(scope="session")
def dialects() -> Mapping[str, Profile]:
    """Every form that CONTRACT §4 asks for, by the vendor whose receivers take it."""
    return {
        vendor: load(name) if name == "standard" else read_profile(DIALECTS / name) for name, vendor in SPOKEN.items()
    }


@pytest.fixture(scope="session")
def make_facts() -> Any:
    def make(**changed: Any) -> Facts:
        facts = {
            "event_id": "evt_06f3k9w2zq8rt",
            "type": "ad.click",
            "timestamp": Millis(1_773_480_413_080),  # 2026-03-14T09:26:53.080Z
            "data": b'{"click_id":"clk_1"}',
            "webhook_id": "wh_06f3k9w2zq8rv",
            "account_id": "acc_06f3k9w2zq8rw",
            "account_external_id": None,
            "account_name": "Fibre “Spring”",
        }
        return Facts(**facts | changed)

    return make
