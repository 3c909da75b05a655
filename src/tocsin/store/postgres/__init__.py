"""The PostgreSQL store: a pool of connections, one committer for what is hot.

Promises: everything `store.port` does, with PostgreSQL's own durability, and that writes of a former owner are refused.
Leaves out: setting up the server, its backups, and following it to another address.
"""

from tocsin.store.postgres.store import PostgresStore, check, migrate, open_postgres, schema_status

__all__ = ["PostgresStore", "check", "migrate", "open_postgres", "schema_status"]
