"""The SQLite store: one file, one writer thread, a few reading threads.

Promises: everything `store.port` does, with full durability, and that a second process is refused. Leaves out:
several processes sharing one file.
"""

from tocsin.store.sqlite.store import SqliteStore, open_sqlite

__all__ = ["SqliteStore", "open_sqlite"]
