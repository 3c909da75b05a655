"""What the fault drills share: how many seeds each has, and the gaps that were measured."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
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


def is_short(config: pytest.Config) -> bool:
    return config.getoption("seed") is None and config.getoption("seeds") is None


def drills(
    config: pytest.Config, failpoints: Sequence[str], short: Mapping[Shape, Sequence[str]]
) -> list[ParameterSet]:
    """Every fleet, failpoint and seed.

    Args:
        short: which failpoints the fleets on PostgreSQL have in the short form: whoever dies there is missed only when
            its lease is over.
    """
    return [
        pytest.param(shape, failpoint, seed, id=f"{shape}-{failpoint}-{seed}", marks=pytest.mark.slow)
        for shape in (SQLITE, POSTGRES, THREE)
        for failpoint in (short.get(shape, failpoints) if is_short(config) else failpoints)
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
