"""Which event types a webhook's patterns take."""

import pytest

from tocsin.engine.directory import takes
from tocsin.model import DIGEST_TYPE, NOTICE_TYPE


@pytest.mark.parametrize(
    ("pattern", "type_", "taken"),
    [
        ("*", "click.created", True),
        ("click.*", "click.created", True),
        ("click.*", "clicks.created", False),
        ("click.created", "click.created", True),
        ("click.created", "click.created.again", False),
        ("*", DIGEST_TYPE, False),
        ("tocsin.*", NOTICE_TYPE, False),
        (DIGEST_TYPE, DIGEST_TYPE, False),
        ("*", "tocsins.rang", True),
    ],
)
def test_patterns(pattern: str, type_: str, taken: bool):  # noqa: FBT001 - a case
    """An exact name, a family or all; Tocsin's own events are taken by none."""
    assert takes(("other.type", pattern), type_) is taken
