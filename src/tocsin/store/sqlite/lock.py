"""One process owns the file: an advisory lock on ``<database>.lock``, which ends with the process, however it ends."""

import fcntl
import os
from pathlib import Path

from tocsin.errors import Misconfigured


class FileLock:
    """Held from construction to `release`.

    Raises:
        Misconfigured: another process holds it, or the directory refuses.
    """

    def __init__(self, path: Path) -> None:
        self._database = path
        file = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Misconfigured(f"{path} cannot be opened: {error.strerror}: {file}") from None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(self._descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise Misconfigured(
                f"{path} is already open by process {holder}; stop it first, or name another file in TOCSIN_DB"
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        os.close(self._descriptor)  # the file stays: removing it would let two processes lock two files
