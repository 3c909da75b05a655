"""A disk that a test can fill, and make room on again.

Where the test may mount, it is a small file system in memory, and full is full. Where it may not (a user, most
containers), the processes that write there are forbidden to write beyond a file's present size, which is the same to
them but for the word: "file too large".
"""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BALLAST = "ballast"


class SmallDisk:
    def __init__(self, folder: Path, *, mounted: bool) -> None:
        self.folder = folder
        self.mounted = mounted

    def fill(self, pid: int, *, largest: int | None = None) -> None:
        """From now on the process and its children find no more room.

        Args:
            largest: how long a file may be where no file system can be full, for programs that make theirs ahead.
        """
        if self.mounted:
            with (self.folder / _BALLAST).open("wb") as ballast:
                fd = ballast.fileno()
                for size in (1 << 20, 4096):
                    try:
                        while True:
                            os.write(fd, bytes(size))
                    except OSError:
                        pass
        else:
            files = [path for path in self.folder.rglob("*") if path.is_file()]
            self._limit(pid, largest or max(path.stat().st_size for path in files))

    def make_room(self, pid: int | None) -> None:
        """Of a process that has ended meanwhile: None."""
        if self.mounted:
            (self.folder / _BALLAST).unlink()
        elif pid is not None:
            self._limit(pid, "unlimited")

    def _limit(self, pid: int, size: int | str) -> None:
        owner = Path(f"/proc/{pid}").stat()
        as_owner = {
            "user": owner.st_uid,
            "group": owner.st_gid,
            "extra_groups": [],
        }  # who alone may, in many containers
        for one in (pid, *_children(pid)):
            subprocess.run(
                ["prlimit", "--pid", str(one), f"--fsize={size}:"],
                check=one == pid,
                **(as_owner if owner.st_uid != os.geteuid() else {}),
            )


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def small_disk(size_bytes: int, *, may_mount: bool = True) -> Iterator[SmallDisk]:
    """`may_mount`: where False, by the limit in any case."""
    with tempfile.TemporaryDirectory(prefix="tocsin-disk-") as name:
        folder = Path(name)
        mounted = may_mount and _mount(folder, size_bytes)
        try:
            yield SmallDisk(folder, mounted=mounted)
        finally:
            if mounted:
                subprocess.run(["umount", "--lazy", folder], check=True)


def _mount(folder: Path, size_bytes: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes},mode=0777", "tmpfs", str(folder)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
