"""What processes tell one another."""

from collections.abc import Callable, Sequence


class PostgresNews:
    async def tell(self, lines: Sequence[str]) -> None: ...

    async def listen(self, heard: Callable[[str], None], lost: Callable[[], None]) -> None: ...
