"""Named SQL from ``store/sql/sqlite/<noun>.sql``: each statement follows a line ``-- name: …``."""

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_REPEATED = re.compile(r"(\([^()]*\)) /\* repeated \*/")

ROOT = files("tocsin.store") / "sql" / "sqlite"


class Statements:
    """The statements of one noun."""

    def __init__(self, noun: str, text: str) -> None:
        _, *parts = _NAME.split(text)
        self._noun = noun
        self._sql = {name: sql.strip().rstrip(";") for name, sql in zip(parts[::2], parts[1::2], strict=True)}
        self._many: dict[tuple[str, int], str] = {}

    def __getitem__(self, name: str) -> str:
        return self._sql[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sql)

    def rows(self, name: str, n: int) -> str:
        """The statement with its ``(?, …) /* repeated */`` written `n` times: one step for `n` rows."""
        sql = self._many.get((name, n))
        if sql is None:
            sql, found = _REPEATED.subn(lambda row: ", ".join([row[1]] * n), self._sql[name])
            if found != 1:
                raise LookupError(f"{self._noun}.{name} has no repeated row")
            self._many[name, n] = sql
        return sql


@cache
def statements(noun: str) -> Statements:
    return Statements(noun, (ROOT / f"{noun}.sql").read_text())
