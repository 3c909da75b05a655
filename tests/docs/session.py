"""Runs the blocks of one page, from its first to its last, as a reader would: in a shell, beside other terminals."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import httpx

from tests.docs.markdown import ROOT, Block, Page
from tests.docs.terminal import Program
from tests.docs.transcript import Memory, Pattern, difference
from tests.support.waiting import until

BIN = Path(sys.executable).parent
_COMMAND_S = 60.0  # `tocsin demo` takes some 20 s on a busy machine
_SEEN_S = 20.0
_PORT = re.compile(r"(?:127\.0\.0\.1:|--port[ =]|127\.0\.0\.1\", )(\d{4,5})\b")
_STAYS = re.compile(r"tocsin (serve|listen)\b")  # runs until it is interrupted
_LOOKS = re.compile(r"tocsin \w+ (list|show)\b")
_LOOK_S = 5.0
# Of the reference, which its own test makes anew.
_USAGE = re.compile(r"tocsin [a-z -]*(?:--[a-z]+ [A-Z]+ )*(?:\[OPTIONS\]|COMMAND)")
_END = "\x1eend"


@dataclass(frozen=True)
class Command:
    """One command, and what the page shows of its output (None: nothing)."""

    text: str
    shown: str | None


class Session:
    """One page being followed.

    Args:
        known: variables that the reader has set when the page begins.
        ports: those that are what they are: the page's port, the real one.
        names: what the page calls something that the reader has, and what it is really.
    """

    def __init__(
        self,
        page: Page,
        folder: Path,
        known: Mapping[str, str] | None = None,
        ports: Mapping[int, int] | None = None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self._page = page
        self._names = dict(names or {})
        self._folder = folder
        self._ports = dict(ports or {})
        self.memory = Memory()
        for name in sorted({int(port) for port in _PORT.findall(page.text)} | {8400, 8410}):
            self._ports.setdefault(name, free_port(set(self._ports.values())))
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("TOCSIN_", "COV"))}
        self._environ = environ | {
            "PATH": f"{BIN}{os.pathsep}{environ['PATH']}",
            "PYTHONUNBUFFERED": "1",  # stdout and stderr come in order, as in a terminal
            "CURL_HOME": str(folder),
            "HOME": str(folder),
            "TOCSIN_URL": f"http://127.0.0.1:{self._ports[8400]}",
            "TOCSIN_PORT": str(self._ports[8400]),
            **(known or {}),
        }
        (folder / ".curlrc").write_text("silent\nshow-error\n")  # curl draws no progress on a terminal
        self._shell = Program(["bash", "--noprofile", "--norc"], folder, self._environ)
        # What `make` sets up is what this runs in already; it is not set up again under its feet.
        self._shell.type(f'make() {{ command make -sC "{ROOT}" -o .venv/run BIN="{BIN}" "$@"; }}\n')
        self._terminals: dict[str, tuple[Program, int]] = {}  # and how far what it said was shown
        self._output: str | None = None  # of the last block that can have one

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for program, _shown in self._terminals.values():
            program.kill()
        self._shell.kill()

    # --- blocks -----------------------------------------------------------------------------------------------------

    def play(self, block: Block) -> None:
        """Does what the block says; raises `AssertionError` where it turns out otherwise."""
        words = block.words
        if "norun" in words:
            return
        if "title" in words:
            file = self._folder / words["title"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(self._real(block.text) + "\n")
        elif "output" in words:
            assert self._output is not None, "there is nothing before it that it could be the output of"
            found = difference(self._shown(block.text), self._output, self.memory)
            assert found is None, found
        elif "body" in words:
            method, path = self._real(words["body"]).split()
            self._request(method, path, block.text)
        elif "event" in words:
            self._request("POST", "/v1/events", f'{{"type": "{words["event"]}", "data": {block.text}}}')
        else:
            self._play_by_language(block)

    def _play_by_language(self, block: Block) -> None:
        match block.language:
            case "console":
                self._console(block)
            case "sh":
                for text in commands(block.text):
                    self._output = self._run(text)
            case "python" | "js":
                interpreter = {"python": "python", "js": "node --input-type=module"}[block.language]
                program = self._real(block.text)
                self._output = self._run(f"{interpreter} - <<'END_OF_PROGRAM'\n{program}\nEND_OF_PROGRAM")
            case "cel":
                self._filter(block)
            case "json":
                assert is_json(block.text), "this is no JSON"
            case other:
                raise AssertionError(f"nothing runs a block of {other!r}; say norun= and why")

    def _console(self, block: Block) -> None:
        said = list(transcript(block.text))
        terminal = block.words.get("terminal")
        if terminal is None:
            assert said or _USAGE.match(block.text), "there is no $ command in it"
            for command in said:
                self._check(command, int(block.words.get("exit", 0)) if command is said[-1] else 0)
            return
        if block.text == "^C":
            self._terminals.pop(terminal)[0].interrupt()
        elif block.text.startswith("$ "):
            for command in said:
                self._begin(terminal, command.text)
                if command.shown is not None:
                    self._await(terminal, command.shown)
        else:
            self._await(terminal, block.text)  # what a program that runs there says now

    # --- commands ---------------------------------------------------------------------------------------------------

    def _check(self, command: Command, code: int) -> None:
        """Runs a command of the page. One that only looks may look again: what it waits for is being written down."""
        end = time.monotonic() + (_LOOK_S if _LOOKS.match(command.text) else 0)
        while True:
            self._output = self._run(command.text, code)
            found = command.shown and difference(self._shown(command.shown), self._output, self.memory)
            if not found:
                return
            assert time.monotonic() < end, f"$ {command.text}\n{found}"

    def _run(self, text: str, code: int = 0) -> str:
        """Runs a command in the page's shell; its output."""
        if stays := _STAYS.match(text):
            self._begin(stays[1], text.removesuffix("&").rstrip())
            return ""
        before = len(self._shell.said)
        self._shell.type(f"{{ {self._real(text)}\n}} </dev/null\nprintf '\\n{_END} %s\\n' $?\n")
        ended = re.compile(rf"\n?{_END} (\d+)\n")
        found = until(
            lambda: ended.search(self._shell.said, before),
            lambda: f"an end of: {text}\n{self._shell.said[before:]}",
            _COMMAND_S,
        )
        said = self._shell.said[before : found.start()]
        self.memory.learn(said)
        assert int(found[1]) == code, f"$ {text}\nended with {found[1]}, not {code}:\n{said}"
        return said

    def _begin(self, terminal: str, text: str) -> None:
        if terminal in self._terminals:
            self._terminals.pop(terminal)[0].interrupt()
        text = self._real(text)
        if re.match(r"tocsin listen(?!.*--port)", text):
            text += f" --port {self._ports[8410]}"  # it has no variable for it
        program = Program(["bash", "--noprofile", "--norc", "-c", text], self._folder, self._environ)
        self._terminals[terminal] = (program, 0)
        if _STAYS.search(text):
            until(lambda: " at http://127.0.0.1" in program.said, lambda: f"{text}: {program.said}", _SEEN_S)
            self.memory.learn(program.said)

    def _await(self, terminal: str, shown: str) -> None:
        """Waits until the program in that terminal has said what the page shows."""
        program, begin = self._terminals[terminal]
        pattern = Pattern(self._shown(shown), self.memory)
        end = 0

        def seen() -> bool:
            nonlocal end
            found = pattern.accept(program.said[begin:], whole=False)
            end = begin + (found or 0)
            return found is not None

        until(seen, lambda: f"in the terminal {terminal}:\n{shown}\n--- it is\n{program.said[begin:]}", _SEEN_S)
        self.memory.learn(program.said[begin:end])
        self._terminals[terminal] = (program, end)

    def _filter(self, block: Block) -> None:
        """Gives the filter to a webhook, and publishes the event type's example for it."""
        asked = {"url": f"http://127.0.0.1:{self._ports[8410]}/", "events": ["*"], "filter": block.text}
        made = self._call("POST", "/v1/webhooks", json.dumps(asked))
        if "refused" in block.words:
            assert made.json().get("code") == "filter_invalid", made.text
            return
        assert made.is_success, made.text
        type_ = block.words["on"]
        example = self._call("GET", f"/v1/event-types/{type_}").json()["example"]
        asked = {"type": type_, "data": example, "timestamp": block.words.get("at")}
        event = self._call("POST", "/v1/events", json.dumps(asked)).json()
        [routing] = [
            one
            for one in self._call("GET", f"/v1/events/{event['id']}").json()["routing"]
            if one["webhook_id"] == made.json()["id"]
        ]
        self._call("DELETE", f"/v1/webhooks/{made.json()['id']}")
        assert "failed" not in routing["reason"], routing["reason"]
        assert routing["matched"] == ("nomatch" not in block.words), routing["reason"]

    def _request(self, method: str, path: str, body: str) -> None:
        """Sends a body that the page shows; the API must take it."""
        answer = self._call(method, path, self._real(body))
        self.memory.learn(answer.text)
        self._output = answer.text
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"

    def _call(self, method: str, path: str, body: str | None = None) -> httpx.Response:
        return httpx.request(
            method,
            f"http://127.0.0.1:{self._ports[8400]}{path}",
            content=None if body is None else body.encode(),
            headers={
                "Authorization": f"Bearer {self._run('echo $TOCSIN_KEY').strip()}",
                "Content-Type": "application/json",
            },
            trust_env=False,
        )

    # --- names ------------------------------------------------------------------------------------------------------

    def _real(self, text: str) -> str:
        """What a reader would type: with real ids, secrets and ports."""
        text = self._with_ports(self.memory.fill(text))
        for shown, real in self._names.items():
            text = text.replace(shown, real)
        return text

    def _shown(self, text: str) -> str:
        return self._with_ports(text)

    def _with_ports(self, text: str) -> str:
        for shown, real in self._ports.items():
            text = re.sub(rf"(?<![\d.:T-]){shown}(?![\d-])|(?<=127\.0\.0\.1:){shown}\b", str(real), text)
        return text


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def commands(script: str) -> Iterator[str]:
    """A script's commands, one by one, each with the lines that belong to it."""
    waiting = ""
    for line in script.splitlines():
        waiting += line + "\n"
        if line.endswith("\\") or not waiting.strip():
            continue
        whole = subprocess.run(["bash", "-n"], input=waiting.encode(), capture_output=True, check=False)
        if whole.returncode == 0 and b"here-document" not in whole.stderr:
            if any(not text.lstrip().startswith("#") for text in waiting.splitlines() if text.strip()):
                yield waiting.strip()
            waiting = ""
    assert not waiting.strip(), f"this command does not end: {waiting}"


def transcript(text: str) -> Iterator[Command]:
    """The commands of a console, each with the output that is shown below it."""
    command: list[str] = []
    output: list[str] = []
    for line in [*text.splitlines(), "$ "]:
        if line.startswith("$ "):
            if command:
                yield Command("\n".join(command), "\n".join(output) if output else None)
            command, output = [line[2:]], []
        elif line.startswith("> ") and not output:
            command.append(line[2:])
        else:
            output.append(line)


def free_port(taken: set[int]) -> int:
    """A port below those that the system gives out by itself, so that nothing takes it before it is used."""
    worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or 0)
    for port in range(21_000 + worker * 500, 32_000):
        if port in taken:
            continue
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no port is free")
