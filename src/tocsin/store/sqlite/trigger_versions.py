"""The version of each account's trigger state, in memory: only the one process that writes needs it."""

# Accounts whose version is remembered: some 20 MB at most.
_MOST = 200_000


class TriggerVersions:
    """Numbers that rise. The writer's thread owns this; readers may ask `of` before their first statement: what is
    committed meanwhile then makes what they decide stale, and nothing else is wrong with it.
    """

    def __init__(self) -> None:
        self._known: tuple[int, dict[int, int]] = (0, {})  # that of all others, and of some
        self._top = 0
        self._pending: set[int] = set()

    def of(self, account_id: int) -> int:
        others, known = self._known
        return known.get(account_id, others)

    # --- the transaction that is open -----------------------------------------------------------------------------

    def is_now(self, account_id: int, version: int) -> bool:
        """Whether what was read at a version is still what is there."""
        return account_id not in self._pending and self.of(account_id) == version

    def rise(self, account_id: int) -> None:
        """It is being changed."""
        self._pending.add(account_id)

    def committed(self) -> None:
        if not self._pending:
            return
        _, known = self._known
        for account_id in self._pending:
            self._top += 1
            known[account_id] = self._top
        self._pending.clear()
        if len(known) > _MOST:
            # Whatever was read of any account before is stale now: once in 200,000 accounts.
            self._top += 1
            self._known = self._top, {}

    def rolled_back(self) -> None:
        self._pending.clear()
