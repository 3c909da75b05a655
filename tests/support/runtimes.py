"""The runtimes of other languages that tests run. Where one is missing, the tests that need it fail and say so."""

import base64
import shutil
import subprocess
import sys

PACKAGES = {"node": "nodejs", "php": "php-cli"}  # Debian's


def runtime(name: str) -> str:
    """The path of `node`, `php` or `python` (the one that runs the tests)."""
    if name == "python":
        return sys.executable
    path = shutil.which(name)
    assert path, f"{name} is missing, and nothing stands in for it here: apt-get install {PACKAGES[name]}"
    return path


_REPARSE = """
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
    """One Node process, asked line by line."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [runtime("node"), "-e", _REPARSE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

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
