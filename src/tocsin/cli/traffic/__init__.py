"""A day of ad traffic as activity: people, campaigns, conversions, and fraud that a ledger knows to be fraud.

Promises: the same for the same seed, in the order of time, made as it is read: a day of any size in bounded memory.
Leaves out: sending it, and judging it; whoever posts it compares what was found with the ledger (`truth`).
"""

from tocsin.cli.traffic.day import Day, Made
from tocsin.cli.traffic.frauds import PATTERNS
from tocsin.cli.traffic.truth import Found, Truth

__all__ = ["PATTERNS", "Day", "Found", "Made", "Truth"]
