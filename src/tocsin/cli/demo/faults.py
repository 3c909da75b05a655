"""How it is said that something went otherwise than foreseen."""

from collections.abc import Collection, Sequence

_SHOWN = 3  # of many things that went wrong, so many are told


def set_faults(what: str, expected: Collection[str], found: Collection[str]) -> list[str]:
    """What is missing among the ids that were found, was not foreseen, or is there twice."""
    faults = []
    missing, unforeseen = set(expected) - set(found), set(found) - set(expected)
    if missing:
        faults.append(f"{what}: {len(missing)} are missing, such as that of {min(missing)}")
    if unforeseen:
        faults.append(f"{what}: {len(unforeseen)} were not foreseen, such as that of {min(unforeseen)}")
    if len(found) != len(set(found)):
        faults.append(f"{what}: {len(found) - len(set(found))} are there twice")
    return faults


def shortened(faults: Sequence[str]) -> list[str]:
    """The first of them, and how many more there are."""
    more = len(faults) - _SHOWN
    return [*faults[:_SHOWN], *([f"and {more} more"] if more > 0 else [])]
