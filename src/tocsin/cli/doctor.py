"""``tocsin doctor``: whether a set-up is sound."""

import os

from tocsin.cli.exits import FAILED, OK
from tocsin.cli.output import AsJson, put_json, put_table
from tocsin.cli.settings import NO_FLAGS, SettingFlags


def doctor(*, as_json: AsJson = False, settings: SettingFlags = NO_FLAGS) -> int:
    """Check a set-up, and say how to mend it; exit code 1 where something is wrong. Changes nothing.

    Args:
        as_json: Print JSON.
    """
    loaded = settings.load()
    from tocsin.cli.checks import look

    found = list(look(loaded, os.environ))
    if as_json:
        put_json(
            [{"state": one.state, "subject": one.subject, "detail": one.detail, "mend": one.mend} for one in found]
        )
    else:
        put_table(("", "what", "found", "to do"), ([one.state, one.subject, one.detail, one.mend] for one in found))
    return FAILED if any(one.state == "fail" for one in found) else OK
