"""Keeps what is known of addresses in step with a user's files, which others renew while the server runs."""

import asyncio
import logging

from tocsin.errors import Misconfigured
from tocsin.triggers.knowledge import Knowledge

log = logging.getLogger(__name__)

# A look at some files' times is some system calls; lists are renewed daily at most.
_ROUND_S = 60.0


class KnowledgeWatch:
    """Looks once a minute; reading goes on beside everything else. Without files of a user there is nothing to do."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._knowledge.sources:
            self._task = asyncio.create_task(self._run(), name="knowledge")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def look(self) -> None:
        """One look. A file that is broken, or half written, is said, and what was known stays."""
        try:
            if await asyncio.to_thread(self._knowledge.refresh):
                log.info("knowledge_renewed")
        except Misconfigured as error:
            log.warning("knowledge_kept", extra={"reason": error.detail})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_ROUND_S)
            await self.look()
