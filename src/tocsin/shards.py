"""Shards: which webhooks are sent for together, by one process at a time.

What is remembered of a webhook while it is sent to (how many attempts are under way, its rate, its run of failures, the
window that its alerts are gathered in) is in the memory of the process that has its shard. Webhooks that must keep one
pace, such as the chats of one bot, stand in one shard.
"""

from hashlib import blake2b
from typing import Final

# Enough to share out evenly among dozens of processes, few enough to be read and written as a whole.
SHARDS: Final = 256

ALL: Final = frozenset(range(SHARDS))

# Whoever has this one also does what is done once in the whole installation (`engine.cluster`).
CHIEF: Final = 0


def shard_of(key: bytes) -> int:
    """The same in every process and version: it is stored, and processes go by it."""
    return blake2b(key, digest_size=1).digest()[0]
