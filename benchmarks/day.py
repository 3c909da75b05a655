"""A day of ad traffic through the server, by itself: does it find the fraud, does it sum up right, how fast is it?

100,000 clicks with what belongs to them, two percent of them fraud of five kinds, posted over HTTP to a server whose
clock goes along with the day. Printed: what was posted and fired beside what had to fire, precision and recall of each
kind of fraud, and the daily summary beside a recount.
"""

import sys
import tempfile
import time
from pathlib import Path

from harness import arguments, row, say
from tests.support.days import DATE, ZONE, run_day


def main() -> int:
    asked = arguments(
        __doc__,
        clicks=(100_000, "clicks of the day"),
        seed=(1, "another number makes another day"),
        batch=(500, "activities in a request at most"),
    )
    with tempfile.TemporaryDirectory(prefix="tocsin-day-") as folder:
        began = time.perf_counter()
        outcome = run_day(Path(folder), clicks=asked.clicks, seed=asked.seed, batch=asked.batch, say=say)
        took_s = time.perf_counter() - began
    activities = sum(outcome.activities.values())
    say(f"\n{DATE} in {ZONE.key}: {asked.clicks:,} clicks, seed {asked.seed}")
    row("activities", f"{activities:,}", ", ".join(f"{count:,} {kind}" for kind, count in outcome.activities.items()))
    row("posted, judged and durable in", f"{outcome.posting_s:.0f} s", f"{activities / outcome.posting_s:,.0f} /s")
    row("with making the day and its end", f"{took_s:.0f} s")
    say("\nevents")
    for name in sorted(outcome.fired | outcome.expected):
        fired, expected = outcome.fired[name], outcome.expected[name]
        row(name, f"{fired:,}", "as it must be" if fired == expected else f"MUST BE {expected:,}")
    say("\nfraud")
    row("", "recall", "precision")
    for found in outcome.truth.found():
        row(
            found.pattern,
            f"{found.recall:.3f}",
            f"{found.precision:.3f}  {found.caught:,} of {found.injected:,}; {found.right:,} of {found.flagged:,}",
        )
    honest = outcome.truth.clicks - sum(found.injected for found in outcome.truth.found())
    row("honest clicks suspected", f"{outcome.truth.false_alarms:,}", f"of {honest:,}")
    row("judged", "", ", ".join(f"{count:,} {label}" for label, count in outcome.labels.items()))
    right = outcome.summaries == [{"date": DATE, "timezone": ZONE.key, **outcome.recount}]
    say("\nthe daily summary, " + ("equal to a recount" if right else "NOT EQUAL TO A RECOUNT"))
    for summary in (*outcome.summaries, *(() if right else (outcome.recount,))):
        say(f"  {summary}")
    return 0 if right and outcome.fired == outcome.expected else 1


if __name__ == "__main__":
    sys.exit(main())
