"""What rules remember: read through, kept or undone as a whole, and told to the store once."""

import msgspec
import pytest

from tocsin.clock import Millis
from tocsin.triggers.state import State, Unread


class Count(msgspec.Struct, frozen=True):
    n: int


def _stored(n: int) -> bytes:
    return msgspec.msgpack.encode(Count(n))


def test_a_key_that_was_not_read_is_asked_for_and_one_that_is_empty_is_none():
    """Nothing read and nothing there are two things."""
    state = State()
    with pytest.raises(Unread) as unread:
        state.get("campaign:7", Count)
    assert unread.value.keys == ("campaign:7",)
    state.load({"campaign:7": None})
    assert state.get("campaign:7", Count) is None


def test_several_keys_are_asked_for_together():
    """Only those that are missing are asked for."""
    state = State()
    state.load({"a": None})
    with pytest.raises(Unread) as unread:
        state.need("a", "b", "c")
    assert unread.value.keys == ("b", "c")
    state.load({"b": None, "c": _stored(1)})
    state.need("a", "b", "c")


def test_what_an_activity_changes_is_seen_at_once_and_counts_only_if_kept():
    """An undone activity leaves what was kept before it."""
    state = State()
    state.load({"a": _stored(1), "b": _stored(5)})
    state.put("a", Count(2), until=Millis(9))
    state.drop("b")
    state.set_timer("hold:1", Millis(50))
    assert (state.get("a", Count), state.get("b", Count)) == (Count(2), None)
    state.undo()
    assert (state.get("a", Count), state.get("b", Count)) == (Count(1), Count(5))
    changes = state.changes()
    assert (dict(changes.puts), changes.drops, dict(changes.timers)) == ({}, frozenset(), {})

    state.put("a", Count(3), until=Millis(9))
    state.drop("b")
    state.set_timer("hold:1", Millis(50))
    state.keep()
    state.put("a", Count(4))
    state.clear_timer("hold:1")
    state.undo()
    changes = state.changes()
    assert dict(changes.puts) == {"a": (_stored(3), 9)}
    assert changes.drops == {"b"}
    assert dict(changes.timers) == {"hold:1": 50}


def test_what_is_dropped_can_come_again():
    """A dropped key that is put again is put, not dropped."""
    state = State()
    state.load({"a": _stored(1)})
    state.drop("a")
    state.keep()
    state.put("a", Count(7))
    state.keep()
    changes = state.changes()
    assert dict(changes.puts) == {"a": (_stored(7), None)}
    assert changes.drops == frozenset()


def test_what_is_over_is_as_if_it_had_never_been():
    """In the batch that put it as in any later one, which would not find it in the store."""
    state = State()
    state.now = Millis(10)
    state.put("old", Count(1), until=Millis(10))
    state.put("young", Count(2), until=Millis(11))
    state.keep()
    assert (state.get("old", Count), state.get("young", Count)) == (None, Count(2))
    changes = state.changes()
    assert (set(changes.puts), changes.drops) == ({"young"}, {"old"})
    state.now = Millis(11)
    assert state.get("young", Count) is None


def test_a_key_put_without_being_read_needs_no_read():
    """Nor does `unread` name it."""
    state = State()
    state.put("new", Count(1))
    state.need("new")
    state.keep()
    state.need("new")
    assert state.get("new", Count) == Count(1)
    assert state.unread(["new", "other"]) == {"other"}
