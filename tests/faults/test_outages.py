"""PostgreSQL fails a server under load, in every way that it and the network have: refusals with a problem meanwhile,
never a false 202, nothing lost or stuck, nothing sent twice, and publishing works again soon after.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.faults import outages
from tests.faults.outage import RECOVERY_S

# Seconds each. A black hole is noticed by its silence, which takes longer.
_SERIES = {
    "gone": (("stopped", 2.0), ("crashed", 2.0), ("reset", 1.5)),
    "shaken": (("connections_ended", 2.0), ("flapping", 2.0), ("exhausted", 2.0)),
    "silent": (("silent", 8.0), ("locked", 6.0), ("forgotten", 8.0)),
    "unknown": (("commits_unknown", 2.0),),
}


@pytest.mark.slow
@pytest.mark.parametrize("series", _SERIES.values(), ids=_SERIES)
def test_an_outage_loses_nothing(series: Sequence[tuple[str, float]], tmp_path: Path) -> None:
    """Everything accepted before, during and after arrives, and publishing works again within 30 s."""
    for name, evidence in outages.run(series, tmp_path, around_s=1.5):
        print(f"{name}: {evidence}")  # noqa: T201 - speed is shown, and asserted nowhere
        assert evidence.recovered_s < RECOVERY_S


def test_every_outage_is_tried() -> None:
    """No way in which it can fail is left out of the short form."""
    assert {name for series in _SERIES.values() for name, _ in series} == set(outages.OUTAGES)
