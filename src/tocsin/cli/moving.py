"""How far a move is: one line that changes on a terminal, now and then a line elsewhere."""

import sys
import time
from typing import TYPE_CHECKING, Self

from tocsin.cli.output import say, span

if TYPE_CHECKING:
    from tocsin.store.moving.report import Progress

_TERMINAL_S = 0.1
_ELSEWHERE_S = 5.0


class Shown:
    """Called with each `Progress`."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._now = ("", "")
        self._since = 0.0
        self._before = 0  # rows that were there when this began
        self._said_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def __call__(self, progress: "Progress") -> None:
        now = time.monotonic()
        known = (progress.step, progress.noun) == self._now
        if not known:
            self._now = progress.step, progress.noun
            self._since, self._before = now, progress.done
        if progress.ended:
            if known:  # else there was nothing to do
                self._end(self._text(progress, now))
        elif now - self._said_at >= (_TERMINAL_S if self._live else _ELSEWHERE_S):
            self._said_at = now
            if self._live:
                sys.stderr.write(f"\r\x1b[K{self._text(progress, now)}")
                sys.stderr.flush()
            else:
                say(self._text(progress, now))

    def _end(self, text: str) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
        say(text)

    def _text(self, progress: "Progress", now: float) -> str:
        of = "" if progress.ended or not progress.total else f" of {progress.total:,}"
        text = f"{progress.step:<7}  {progress.noun:<26}  {progress.done:>12,}{of}"
        seconds = now - self._since
        rows = progress.done - self._before
        if seconds < 1 or not rows:
            return text
        rate = rows / seconds
        text += f"  {rate:,.0f}/s"
        if not progress.ended and progress.total > progress.done:
            text += f", {span((progress.total - progress.done) / rate)} left"
        return text
