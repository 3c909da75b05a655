"""How a statement is carried out, with the logs' weeks under the names of their tables."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tocsin.ids import first_at
from tocsin.store.postgres.partitions import LOGS

# 2025-12-22 to 2026-01-26 and 20,000 ids in between: before the first week that a new test database has, in each, and
# beyond the last.
_SINCE_MS, _UNTIL_MS, N = 1_766_361_600_000, 1_769_385_600_000, 20_000
STEP = ((_UNTIL_MS - _SINCE_MS) << 22) // N
FIRST = first_at(_SINCE_MS)
IDS = f"generate_series({FIRST}, {first_at(_UNTIL_MS)}, {STEP}) WITH ORDINALITY AS t (id, i)"

_PART = re.compile(rf"\b({'|'.join(LOGS)})_(?:\d{{8}}|before|beyond)")
_ALIAS = re.compile(r"( on \w+ \w+?)_\d+$")
_OWN_ALIAS = re.compile(rf"( on ({'|'.join(LOGS)})) \2$")


class Planner:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def plan(self, sql: str, values: str | None = None) -> list[str]:
        """Its steps, as planned for the values, else for values that are not known."""
        await self._connection.execute(f"PREPARE planned AS {sql}")
        try:
            n = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
            given = values or ", ".join(["NULL"] * n)
            rows = await self._connection.fetch(f"EXPLAIN (COSTS OFF) EXECUTE planned{f'({given})' if n else ''}")
        finally:
            await self._connection.execute("DEALLOCATE planned")
        return [_told(row[0]) for row in rows]


def _told(line: str) -> str:
    step = _PART.sub(r"\1", line.strip().removeprefix("->").strip())
    return _OWN_ALIAS.sub(r"\1", _ALIAS.sub(r"\1", step))


def through(steps: list[str], tables: tuple[str, ...]) -> Iterator[str]:
    """Those of the tables that are gone through."""
    for step in steps:
        found = re.match(r"(?:Parallel )?Seq Scan on (\w+)", step)
        if found and found[1] in tables:
            yield found[1]


def sorts(steps: list[str]) -> set[str]:
    """What is sorted, as opposed to merged from several places in their order."""
    return {
        after.removeprefix("Sort Key: ").removesuffix(" DESC")
        for step, after in pairwise(steps)
        if step in ("Sort", "Incremental Sort")
    }
