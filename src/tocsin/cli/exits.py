"""How a command ends: the exit codes, and the one exception that carries a code and what to say.

0 ok   1 failed   2 usage   3 not authorised   4 not found   5 rejected as invalid   6 not delivered or not verified
7 unreachable
"""

from collections.abc import Mapping, Sequence

OK = 0
FAILED = 1
USAGE = 2
UNAUTHORISED = 3
NOT_FOUND = 4
INVALID = 5
UNDELIVERED = 6
UNREACHABLE = 7
INTERRUPTED = 130  # 128 + SIGINT, as shells say it

# What a status of the API means here. Any other 4xx was rejected as it is; any other 5xx is the server's failure.
_BY_STATUS: Mapping[int, int] = {
    401: UNAUTHORISED,
    403: UNAUTHORISED,
    404: NOT_FOUND,
    502: UNREACHABLE,  # said by what stands before the server: nothing was carried out
    503: UNREACHABLE,
    504: UNREACHABLE,
}


def of_status(status: int) -> int:
    """The exit code for an answer of that status, 300 or above."""
    return _BY_STATUS.get(status, INVALID if 400 <= status < 500 else FAILED)


class Failure(Exception):
    """The command ends with `code`; `detail` and then `lines` are said on stderr. `problem`: the API's code, if it was
    the API that said so.
    """

    def __init__(self, code: int, detail: str, lines: Sequence[str] = (), problem: str | None = None) -> None:
        super().__init__(detail)
        self.problem = problem
        self.code = code
        self.detail = detail
        self.lines = tuple(lines)
