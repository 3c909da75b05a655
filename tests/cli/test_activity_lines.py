"""Files of activities: JSON lines and CSV, each line posted as its own bytes or told by its number."""

import io
import json
from typing import Any

import pytest

from tocsin.cli.activity.lines import Added, Line, form_of, from_cells, read_lines


def lines(text: str | bytes, form: Any = "jsonl", begin: int = 1, **added: str) -> list[Line]:
    raw = text.encode() if isinstance(text, str) else text
    return list(read_lines(io.BytesIO(raw), form, Added(**added), begin))


def bodies(*given: Any, **more: Any) -> list[Any]:
    found = lines(*given, **more)
    assert not [line.fault for line in found if line.fault]
    return [json.loads(line.body) for line in found]


def test_a_line_is_posted_as_it_is() -> None:
    """The bytes of a line are not rewritten: numbers keep their digits, keys their order, doubled keys stay."""
    [one] = lines('{"kind":"spend", "amount":1.10,  "amount":1.1000}\n')
    assert one.body == b'{"kind":"spend", "amount":1.10,  "amount":1.1000}'


def test_what_a_line_does_not_say_is_added() -> None:
    """The kind of the command and an id by the line's number go before the line's own bytes; what it says stands."""
    text = '{"click_id":1}\n\n{}\n{"kind":"click","external_id":"own"}'
    assert bodies(text, kind="click", ids="march") == [
        {"kind": "click", "external_id": "march:1", "click_id": 1},
        {"kind": "click", "external_id": "march:3"},
        {"kind": "click", "external_id": "own"},
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "no JSON"),
        ("[]", "no JSON object"),
        ("{" * 5_000, "no JSON"),
        ('{"kind":"visit"}', "its kind is 'visit', not 'click'"),
        (b'{"a":"\xff"}', "no JSON"),
        (b'{"a":"' + b"x" * (2 << 20) + b'"}', "longer"),
    ],
)
def test_a_line_at_fault_does_not_stop_the_others(text: str | bytes, fault: str) -> None:
    """It is told by its number; the lines around it are posted."""
    raw = text.encode() if isinstance(text, str) else text
    first, second, third = lines(b'{"n":1}\n' + raw + b'\n{"n":3}\n', kind="click")
    assert (first.number, third.number, json.loads(third.body)["n"]) == (1, 3, 3)
    assert second.number == 2
    assert fault in (second.fault or "")


def test_a_file_is_taken_up_in_the_middle() -> None:
    """From a line on, in either form; a mark of byte order before the first line is nothing."""
    assert [line.number for line in lines('\ufeff{"n":1}\n{"n":2}\n{"n":3}', begin=2)] == [2, 3]
    assert bodies("\ufeffclick_id\na\nb\n", form="csv", begin=3) == [{"click_id": "b"}]


def test_csv() -> None:
    """Columns are keys with dots, empty cells are left out, and only what must be a number or yes and no is one."""
    text = (
        "click_id,cost,visitor.ip,visitor.id,signals.webdriver,signals.plugins,signals.vpn,context\r\n"
        '007,0.10,203.0.113.9,8,true,0,"{""provider"":""X""}","[1,""a\nb""]"\r\n'
        "\r\n"
        "008,,,,no,,yes,plain\r\n"
    )
    assert bodies(text, form="csv", kind="click") == [
        {
            "kind": "click",
            "click_id": "007",
            "cost": "0.10",
            "visitor": {"ip": "203.0.113.9", "id": "8"},
            "signals": {"webdriver": True, "plugins": 0, "vpn": {"provider": "X"}},
            "context": '[1,"a\nb"]',
        },
        {"kind": "click", "click_id": "008", "signals": {"webdriver": False, "vpn": True}, "context": "plain"},
    ]  # fmt: skip


def test_records_are_numbered_by_their_first_line() -> None:
    """A cell may hold line breaks; the next record's number is its line in the file."""
    assert [line.number for line in lines('id,name\n1,"a\nb\nc"\n2,x\n', form="csv")] == [2, 5]


@pytest.mark.parametrize(
    ("text", "number", "fault"),
    [
        ("a,a\n1,2\n", 1, "twice"),
        ("a,a.b\n1,2\n", 1, "both"),
        ("a,\n1,2\n", 1, "no key"),
        ("a,b\n1\n", 2, "1 cells, and the header 2"),
        ("signals.score\nhigh\n", 2, "signals.score is a number"),
        ('a\n"x" y\n', 2, "no CSV"),
        (b"a\n\xff\n", 2, "no CSV"),
    ],
)
def test_csv_at_fault(text: str | bytes, number: int, fault: str) -> None:
    """What is wrong with a table is told with the line."""
    [line] = lines(text, form="csv")
    assert line.number == number
    assert fault in (line.fault or "")


def test_forms() -> None:
    """A file's ending tells its form."""
    assert (form_of("a/b.CSV"), form_of("day.jsonl"), form_of("-")) == ("csv", "jsonl", "jsonl")


def test_cells_that_contradict() -> None:
    """A key cannot have a value of its own and hold others."""
    with pytest.raises(ValueError, match="a value of its own"):
        from_cells({"visitor": "x", "visitor.ip": "y"})
