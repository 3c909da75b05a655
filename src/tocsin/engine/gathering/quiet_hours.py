"""Quiet hours: from one time of day to another, as the clocks of a zone show them, past midnight too.

They begin when the clocks first show `from_`, or a later time where they jump over it, and end when they first show
`to` afterwards, likewise. What clocks that are set back show a second time changes neither.
"""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from tocsin.clock import Millis
from tocsin.triggers.windows import first_showing

_DAY = timedelta(days=1)


class Quiet(msgspec.Struct, frozen=True):
    from_: time
    to: time
    zone: ZoneInfo

    def until(self, at: Millis) -> Millis | None:
        """When the quiet hours end in which the instant lies; None where it lies in none."""
        shown = datetime.fromtimestamp(at // 1000, self.zone).date()
        nights = 0 if self.from_ < self.to else 1
        # Those that began yesterday may last; today's may have begun; and clocks that were set back over midnight show
        # the day before while the next day's have begun already.
        for begun in (shown - _DAY, shown, shown + _DAY):
            begins = first_showing(begun, self.zone, self.from_)
            ends = first_showing(begun + nights * _DAY, self.zone, self.to)
            if begins <= at < ends:
                return self.until(ends) or ends  # where a day was skipped, the next ones follow at once
        return None


def parse(text: str) -> time:
    """``22:00`` as the option has it."""
    hours, minutes = text.split(":")
    return time(int(hours), int(minutes))
