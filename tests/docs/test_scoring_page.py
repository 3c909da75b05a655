"""The page of scoring says what the program does by default."""

import re

import msgspec
import pytest

from tests.docs.markdown import ROOT
from tocsin.triggers.settings import ScoringPoints, ScoringWindows, TriggerSettings

_PAGE = (ROOT / "docs" / "reference" / "scoring.md").read_text()


@pytest.mark.parametrize("shape", [ScoringPoints, ScoringWindows, TriggerSettings])
def test_every_setting_has_its_row_and_default(shape: type[msgspec.Struct]):
    """In the order of the program, none left out, none invented."""
    rows = re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", _PAGE, re.MULTILINE)
    defaults = [
        (name, str(default))
        for name in shape.__struct_fields__
        if isinstance(default := getattr(shape(), name), int | float)
    ]
    first = rows.index(defaults[0])
    assert rows[first : first + len(defaults)] == defaults
    assert len(rows) == sum(
        isinstance(getattr(one(), name), int | float)
        for one in (ScoringPoints, ScoringWindows, TriggerSettings)
        for name in one.__struct_fields__
    )
