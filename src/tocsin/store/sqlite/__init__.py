"""The SQLite store: one file, one writer thread, a few reading threads.

Promises: everything `store.port` does, with full durability, and that a second process is refused. Leaves out:
several processes sharing one file.
"""

from tocsin.store.sqlite.migrations import status as schema_status
from tocsin.store.sqlite.store import SqliteStore, check, migrate, open_sqlite

__all__ = ["SqliteStore", "check", "migrate", "open_sqlite", "schema_status"]
