"""Named places where a test may kill the process, to show that nothing is lost there.

``TOCSIN_FAILPOINT=after_commit:3`` kills the process (SIGKILL) the third time it passes that place.
``after_commit:3:stop`` freezes it there (SIGSTOP) until it is told to go on (SIGCONT). ``after_commit:3:kill:token`` is
for several processes: whichever comes first takes the file `token` away, and the others pass. Unset, as always in
production, passing costs one comparison.
"""

import os
import signal
from pathlib import Path

DELIVERING = ("before_commit", "after_commit", "after_claim", "after_send", "before_settle")
GATHERING = ("before_gather", "after_gather")
MAILING = ("before_mail", "after_mail")
SHARING = ("before_take", "before_give", "before_burial")
MOVING = ("before_piece", "after_piece", "after_emptied", "between_marks", "after_marks")
NAMES = DELIVERING + GATHERING + MAILING + SHARING + MOVING

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

_name, _count, _how, _token = (*os.environ.get("TOCSIN_FAILPOINT", "").split(":", 3), "", "", "", "")[:4]
_left = int(_count or 1)

if _name and _name not in NAMES:
    raise SystemExit(f"TOCSIN_FAILPOINT names no failpoint: {_name!r}; there are {', '.join(NAMES)}")
if _how and _how not in _SIGNALS:
    raise SystemExit(f"TOCSIN_FAILPOINT: nothing is called {_how!r} at a failpoint; write kill or stop")


def reach(name: str) -> None:
    """Passes the place called `name`, unless this is where the process is to die or to freeze."""
    global _left  # noqa: PLW0603 - one process, one countdown
    if name != _name:
        return
    _left -= 1
    if _left == 0 and _first():
        os.kill(os.getpid(), _SIGNALS[_how or "kill"])


def _first() -> bool:
    if _token:
        try:
            Path(_token).unlink()
        except FileNotFoundError:
            return False
    return True
