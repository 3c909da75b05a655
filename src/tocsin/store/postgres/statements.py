"""Named SQL from ``store/sql/postgres/<noun>.sql``: each statement follows a line ``-- name: …``."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)

ROOT = files("tocsin.store") / "sql" / "postgres"


@cache
def statements(noun: str) -> Mapping[str, str]:
    """The statements of one noun, by name."""
    _, *parts = _NAME.split((ROOT / f"{noun}.sql").read_text())
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return MappingProxyType({name: sql.strip().rstrip(";") for name, sql in pairs})
