"""What a check of `doctor` found."""

from typing import Literal

import msgspec

OK: Literal["ok"] = "ok"
WARN: Literal["warn"] = "warn"
FAIL: Literal["fail"] = "fail"


class Finding(msgspec.Struct, frozen=True):
    """`mend` empty: nothing is to be done."""

    state: Literal["ok", "warn", "fail"]
    subject: str
    detail: str
    mend: str = ""
