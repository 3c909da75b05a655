"""A program in a terminal: what it says, as it comes, and how it is ended."""

import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path


class Program:
    """A process and all that it says, stdout and stderr as a terminal mixes them."""

    def __init__(self, command: list[str], folder: Path, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while chunk := self._process.stdout.read1(65536):
            self._said += chunk

    @property
    def said(self) -> str:
        return bytes(self._said).decode(errors="replace")

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def type(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())
        self._process.stdin.flush()

    def interrupt(self) -> None:
        """Ctrl-C, and an end within some seconds."""
        if self.running:
            os.killpg(self._process.pid, signal.SIGINT)
            try:
                self._process.wait(40)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"it did not end when it was interrupted; it said:\n{self.said}") from None
        self._close()

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(10)
        self._close()

    def _close(self) -> None:
        self._reader.join(5)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
