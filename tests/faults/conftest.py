"""What the fault drills share: how many seeds each has, and the gaps that were measured."""

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

import pytest
from _pytest.mark import ParameterSet

from tests.support.cluster import POSTGRES, SQLITE, THREE, Shape

# The short form's seeds: an even one and odd ones, as plans differ by that.
_SHORT = {SQLITE: [0], POSTGRES: [1], THREE: [3]}
_MEASURED = ("rest, ", "unwritten, ")


def seeds(config: pytest.Config, shape: Shape) -> list[int]:
    """Those that a drill of a fleet runs with."""
    one, many = config.getoption("seed"), config.getoption("seeds")
    if one is not None:
        return [one]
    return _SHORT[shape] if many is None else list(range(many))


def drills(
    config: pytest.Config, failpoints: Sequence[str], *, of_three: Sequence[str] | None = None
) -> list[ParameterSet]:
    """Every fleet, failpoint and seed.

    Args:
        of_three: the failpoints of a fleet of three in the short form, as each of these waits for a lease to end; None:
            all.
    """
    short = config.getoption("seed") is None and config.getoption("seeds") is None
    return [
        pytest.param(shape, failpoint, seed, id=f"{shape}-{failpoint}-{seed}", marks=pytest.mark.slow)
        for shape in (SQLITE, POSTGRES, THREE)
        for failpoint in failpoints
        if not (short and shape == THREE and of_three is not None and failpoint not in of_three)
        for seed in seeds(config, shape)
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What drills have measured, by fleet: how long work rested, and how long outcomes had waited that were lost."""
    measured: defaultdict[str, list[float]] = defaultdict(list)
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name.startswith(_MEASURED):
                measured[name].append(value)
    for name, values in sorted(measured.items()):
        terminalreporter.write_line(
            f"{name}: {len(values)} drills, {median(values):.1f} s (median), {max(values):.1f} s (most)"
        )
