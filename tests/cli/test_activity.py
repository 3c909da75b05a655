"""``tocsin activity``: one activity or a file of them, posted, judged, and posted again without counting twice."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Terminal
from tests.support.api import Shop

CLICK = ("--set", "click_id=c-1", "--set", "visitor.id=v-1", "--set", "visitor.ip=203.0.113.9")


def events(shop: Shop, type_: str) -> list[Any]:
    return list(shop.pages("/v1/events", type=type_))


def written(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return name


def test_one_activity_by_flags(owner: Terminal, shop: Shop) -> None:
    """Keys given one by one become the activity; what it fires and why is printed."""
    found = owner.json(
        "activity",
        "click",
        *CLICK,
        "--set",
        "signals.webdriver=true",
        "--set",
        "signals.plugins=0",
        "--set",
        "cost=1.10",
    )
    assert (found["label"], found["score"]) == ("FRAUD", 75)
    assert [event["type"] for event in found["events"]] == ["click.created", "fraud.detected", "bot.detected"]
    [event] = events(shop, "click.created")
    data = shop.get(f"/v1/events/{event['id']}")["data"]
    assert (data["click_id"], data["cost"], data["visitor"]["ip"]) == ("c-1", "1.10", "203.0.113.9")


def test_what_people_see(owner: Terminal) -> None:
    """The judgement, the rules that held, and the events, or that nothing fires."""
    told = owner.ok("activity", "click", *CLICK, "--set", "signals.honeypot=yes")
    assert re.search(r"label +SUSPICIOUS", told.out)
    assert "honeypot 40" in told.out
    assert "visitor.high_risk" in told.out
    nothing = owner.ok("activity", "spend", "--data", '{"campaign":{"id":7},"amount":"1.00"}')
    assert "Nothing fires" in nothing.err


def test_one_activity_as_json(owner: Terminal, shop: Shop) -> None:
    """Data's own bytes are posted, with kind, external id and instant; again under that id nothing is counted twice."""
    data = '{"conversion_id": 12, "payout": "45.10", "currency": "EUR"}'
    asked = ("activity", "conversion", "--data", "-", "--external-id", "o-1", "--at", "2026-03-14T09:26:53Z")
    first = owner.json(*asked, stdin=data.encode())
    again = owner.json(*asked, stdin=data.encode())
    assert (again["id"], again["duplicate"]) == (first["id"], True)
    [event] = events(shop, "conversion.created")
    assert event["timestamp"] == "2026-03-14T09:26:53.000Z"
    assert shop.get(f"/v1/events/{event['id']}")["data"]["payout"] == "45.10"
    other = owner(*asked, stdin=data.replace("45", "46").encode())
    assert other.code == 5
    assert "external_id_conflict" in other.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("click",), 2, "--data"),
        (("--data", "{}"), 2, "say what it is"),
        (("click", "--data", "{}", "--set", "a=b"), 2, "--data"),
        (("click", "--set", "nothing"), 2, "visitor.ip=203.0.113.9"),
        (("click", "--data", "[]"), 2, "no JSON object"),
        (("click", "--data", '{"kind":"visit"}'), 2, "not a click"),
        (("click", "--data", "{"), 5, "no JSON"),
        (("click", "--data", "{}"), 5, "/click_id"),
        (("clack", "--data", "{}"), 2, "clack"),
        (("click", "--file", "none.jsonl"), 2, "none.jsonl cannot be read"),
        (("click", "--file", "-", "--external-id", "x"), 2, "each line has its own"),
    ],
)
def test_what_is_refused(owner: Terminal, arguments: tuple[str, ...], code: int, said: str) -> None:
    """What cannot be an activity ends with the exit code that says whose fault it is, and how to mend it."""
    ran = owner("activity", *arguments)
    assert ran.code == code
    assert said in ran.err


def test_a_file_with_lines_at_fault(owner: Terminal, shop: Shop) -> None:
    """What is right is counted, what is not is told by its line's number and where in it; exit code 5."""
    text = '{"click_id":1}\nnonsense\n\n{"click_id":2,"cost":"a lot"}\n{"click_id":3}\n'
    ran = owner("activity", "click", "--file", written(owner.folder, "clicks.jsonl", text), "--json")
    assert ran.code == 5
    assert ran.json == {
        "accepted": 2, "duplicates": 0, "refused": 2, "events": {"click.created": 2}, "labels": {"CLEAN": 2}
    }  # fmt: skip
    assert "line 2: it is no JSON" in ran.err
    assert "line 4: /cost: " in ran.err
    assert len(events(shop, "click.created")) == 2


def test_a_table_can_be_posted_again(owner: Terminal, shop: Shop) -> None:
    """CSV of any size, in requests of any size; with ids by line the same file again changes nothing."""
    rows = "".join(f"c-{number},203.0.113.{number},0.10\n" for number in range(1, 8))
    written(owner.folder, "clicks.csv", f"click_id,visitor.ip,cost\n{rows}")
    asked = ("activity", "click", "--file", "clicks.csv", "--ids", "march", "--batch", 3)
    assert owner.json(*asked)["accepted"] == 7
    assert owner.json(*asked) | {"labels": {}} == {
        "accepted": 0, "duplicates": 7, "refused": 0, "events": {}, "labels": {}
    }  # fmt: skip
    assert owner.json(*asked, "--from-line", 7)["duplicates"] == 2
    assert len(events(shop, "click.created")) == 7


def test_each_result(owner: Terminal) -> None:
    """A JSON line for each line of the file, with its number."""
    ran = owner("activity", "click", "--file", "-", "--each", stdin=b'{"click_id":1}\n{}\n')
    assert ran.code == 5
    first, second = map(json.loads, ran.out.splitlines())
    assert (first["line"], first["label"]) == (1, "CLEAN")
    assert (second["line"], "error" in second) == (2, True)
    assert "1 accepted" in ran.err


def test_a_generated_day(owner: Terminal, terminal: Terminal) -> None:
    """What is made up can be posted as it is: all of it is accepted, and fraud is found in it."""
    asked = ("activity", "generate", "--clicks", 200, "--fraud", "0.5", "--truth", "truth.jsonl")
    made = terminal.ok(*asked)
    posted = owner.json("activity", "--file", "-", stdin=made.out.encode())
    assert posted["accepted"] == made.out.count("\n") > 200
    assert posted["refused"] == 0
    assert posted["events"]["click.created"] == 200
    assert posted["labels"]["FRAUD"] >= 20
    ledger = [json.loads(line) for line in (terminal.folder / "truth.jsonl").read_text().splitlines()]
    assert len(ledger) == 100
    assert {one["external_id"] for one in ledger} < {json.loads(line)["external_id"] for line in made.out.splitlines()}


def test_a_generated_day_is_repeatable(terminal: Terminal) -> None:
    """The same seed and date make the same bytes; one kind can be had alone."""
    asked = ("activity", "generate", "--clicks", 20, "--date", "2026-03-14")
    assert terminal.ok(*asked).out == terminal.ok(*asked).out != terminal.ok(*asked, "--seed", 2).out
    clicks = terminal.ok(*asked, "--kind", "click").out.splitlines()
    assert len(clicks) == 20
    assert all(json.loads(line)["at"].startswith("2026-03-14T") for line in clicks)
    assert terminal("activity", "generate", "--date", "14.3.2026").code == 2


def test_an_unreachable_server(terminal: Terminal) -> None:
    """Nothing was answered: exit code 7."""
    assert terminal("activity", "click", *CLICK).code == 7
