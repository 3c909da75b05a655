"""Reads what is known of addresses and user agents beside everything else: the packages when they are first needed, a
user's files whenever they change.

Reading is a thread's, so that what the loop has to do meanwhile, deliveries above all, goes on. The packages' patterns
are built in a few calls that let nothing else of the process run, the longest of some 100 ms; beside the rest it does.
"""

import asyncio
import logging

from tocsin.errors import Misconfigured
from tocsin.triggers.knowledge import Knowledge

log = logging.getLogger(__name__)

# A look at some files' times is some system calls; lists are renewed daily at most.
_ROUND_S = 60.0


class KnowledgeWatch:
    """Looks at a user's files once a minute; without any there is nothing to look at."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge
        self._task: asyncio.Task[None] | None = None
        self._loading: asyncio.Future[None] | None = None
        self._loaded = False

    async def ready(self) -> None:
        """Returns once everything can be looked up at once; whoever needs it first has it loaded, all wait for that."""
        if self._loaded:
            return
        if self._loading is None:
            self._loading = asyncio.ensure_future(asyncio.to_thread(self._knowledge.load))
        loading = self._loading
        try:
            await asyncio.shield(loading)
        except Exception:
            if self._loading is loading:
                self._loading = None  # the next one tries again
            raise
        self._loaded = True

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
