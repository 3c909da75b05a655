"""What the fault drills share: how many seeds each has, and the gaps that were measured."""

from collections import defaultdict
from statistics import median

import pytest

from tests.support.cluster import POSTGRES, SQLITE, THREE, Shape

_SHORT = {SQLITE: 2, POSTGRES: 2, THREE: 1}  # seeds; a fleet of three waits for leases to end
_GAP = "gap"


def seeds(config: pytest.Config, shape: Shape) -> range | list[int]:
    """Those that a drill of a fleet runs with."""
    one, many = config.getoption("seed"), config.getoption("seeds")
    return [one] if one is not None else range(_SHORT[shape] if many is None else many)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How long work rested after deaths and freezes, by fleet."""
    gaps: defaultdict[str, list[float]] = defaultdict(list)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name.startswith(_GAP):
                gaps[name].append(value)
    for name, measured in sorted(gaps.items()):
        terminalreporter.write_line(
            f"{name}: {len(measured)} drills; work rested for {median(measured):.1f} s (median), "
            f"{max(measured):.1f} s (most)"
        )
