"""Moves what the write-ahead log holds into the file, beside the writer, so that no commit waits for it.

A checkpoint in the writer's own thread would stop ingest for as long as it takes to write and sync thousands of pages.
Here a thread of its own does most of it while the writer goes on; only the few pages that came meanwhile are left to
the writer, which alone can then begin the log anew.
"""

import logging
import threading
from pathlib import Path

import apsw

from tocsin.store.sqlite.database import connect

log = logging.getLogger(__name__)

# Pages in the log before it is moved: 64 MiB. The larger, the more often a page is written again before it is moved,
# and then moved once; but a start after a crash reads all of it.
LOG_PAGES = 16_000

# Pages that the writer moves itself: some milliseconds.
_REST = 500

# After so many rounds the writer moves what is left, however much: it then writes faster than the disk takes.
_ROUNDS = 6


class Checkpoints:
    """`step` is called in the writer's thread."""

    def __init__(self, path: Path, writer: apsw.Connection, *, full: int = LOG_PAGES) -> None:
        self._writer = writer
        self._full = full
        self._threshold = full
        self._pages = 0  # in the log
        self._moved = threading.Event()  # the thread has done its part
        self._wanted = threading.Semaphore(0)
        self._busy = False
        self._closed = False
        self._connection = connect(path, readonly=False, cache_kib=1_024)
        writer.set_wal_hook(self._committed)
        self._thread = threading.Thread(target=self._work, name="tocsin-checkpoints", daemon=True)
        self._thread.start()

    def _committed(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._pages = pages
        return 0

    def step(self) -> None:
        """Between two transactions of the writer."""
        if self._moved.is_set():
            self._moved.clear()
            self._busy = False
            try:
                pages, moved = self._writer.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error as error:
                log.warning("store_failed", extra={"reason": repr(error), "jobs": 0})
                pages, moved = self._pages, 0
            # Something still reads an old state of the log, or the disk refuses: it grows on, and is tried again.
            self._threshold = self._full if moved == pages else pages + self._full // 2
        elif not self._busy and self._pages >= self._threshold:
            self._busy = True
            self._wanted.release()

    def close(self) -> None:
        """What is left is moved when the last connection closes."""
        self._closed = True
        self._wanted.release()
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while True:
            self._wanted.acquire()
            if self._closed:
                break
            try:
                for _ in range(_ROUNDS):
                    _, moved = self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                    if self._pages - moved <= _REST or self._closed:
                        break
            except apsw.Error as error:
                log.warning("store_failed", extra={"reason": repr(error), "jobs": 0})
            self._moved.set()
