"""A dialect is data: catalogue, envelope, signature, schedule, time limit, limits, disable policy (``data/<name>/``).

Promises: pure and quick; bytes that JavaScript leaves alone; contradictory data stop the start, naming file and key.
Leaves out: what fires, where it goes, when it is tried again, and how receivers verify (`tocsin.receiver.verify`).
"""

from tocsin.profiles.facts import Facts
from tocsin.profiles.loader import also_from, load, names
from tocsin.profiles.profile import CatalogueEntry, DisablePolicy, Limits, Profile

__all__ = ["CatalogueEntry", "DisablePolicy", "Facts", "Limits", "Profile", "also_from", "load", "names"]
