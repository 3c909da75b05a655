"""That a process is there: an advisory lock on a number of its own, which ends with its connection, however it ends.

The connection is one beside the pool's, made when the first number is asked for. It needs a server process of its own:
through a pooler in transaction mode it keeps one for itself (`DISCARD` would let go of the lock), so such a pooler must
pin sessions that hold one, or be passed by.
"""

import asyncio
import secrets
from typing import Any

import asyncpg

from tocsin.errors import Misconfigured, Unavailable
from tocsin.store.postgres.database import Address, Database
from tocsin.store.postgres.errors import translate
from tocsin.store.postgres.statements import statements

_PRESENCE = statements("presence")


class Presence:
    def __init__(self, address: Address) -> None:
        self._address = address
        self._connection: Any = None
        self._number = 1 + secrets.randbits(62)
        self._making = asyncio.Lock()

    async def number(self) -> int:
        """This process's. Where the connection was lost it is taken again; in between others think it gone.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._making:
            if self._connection is None or self._connection.is_closed():
                try:
                    self._connection = await self._address.connect()
                    await self._connection.execute(_PRESENCE["hold"], self._number)
                except Misconfigured as error:
                    raise Unavailable(error.detail, code="store_unavailable") from None
                except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                    raise translate(error) from error
            return self._number

    async def lives(self, db: Database, number: int) -> bool:
        """Whether the process with that number is there."""
        return bool(await db.value(_PRESENCE["lives"], number))

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
