"""What reads, compares and runs the pages is itself held to account: a page that says something untrue must fail."""

from pathlib import Path

import pytest

from tests.docs.markdown import ROOT, Page, parse, table
from tests.docs.session import Session, commands, transcript
from tests.docs.transcript import Memory, difference


def _page(text: str) -> Page:
    return parse(ROOT / "page.md", text)


def _play(tmp_path: Path, text: str) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    page = _page(text)
    with Session(page, folder) as session:
        for block in page.blocks:
            session.play(block)


# --- pages --------------------------------------------------------------------------------------------------------


def test_a_page_is_taken_apart() -> None:
    """Blocks with their words, headings as GitHub anchors them, links outside of code, and what is in backticks."""
    page = _page(
        "# One `a.b` (two)\n\n[x](y.md#z) and `[no](link)`\n\n## Again\n\n## Again\n\n"
        '```json title=a.json body="POST /v1/x"\n{}\n```\n\n| a | b |\n|---|---|\n| `c|d` | e |\n',
    )
    [block] = page.blocks
    assert (block.language, block.text) == ("json", "{}")
    assert block.words == {"title": "a.json", "body": "POST /v1/x"}
    assert page.anchors == {"one-ab-two", "again", "again-1"}
    assert page.links == ["y.md#z"]
    assert page.codes[:2] == ["a.b", "[no](link)"]
    assert table("x\n| h | i |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |\n") == [["1", "2"]]


def test_commands_are_told_from_their_output() -> None:
    """In a console by the dollar; in a script by where bash says that one ends."""
    assert [(one.text, one.shown) for one in transcript("$ a\n$ b \\\n> c\nx\ny\n$ d")] == [
        ("a", None),
        ("b \\\nc", "x\ny"),
        ("d", None),
    ]
    assert list(commands("# first\na \\\n  b\nc '\n'\n")) == ["a \\\n  b", "c '\n'"]


# --- comparing ----------------------------------------------------------------------------------------------------

_SAME = [
    ("a  b", "a        b\n"),
    ("a …", "a and whatever"),
    ("a\n…\nz", "a\nb\nc\nz"),
    ("a\n…\nz", "a\nz"),
    ("evt_06f3k9w2zq8rt and evt_06f3k9w2zq8rt", "evt_0000000000001 and evt_0000000000001"),
    ("at 2026-01-01T00:00:00.000Z (3 s ago)", "at 2027-02-03T04:05:06.789Z (1.2 m ago)"),
    ("after 3 ms", "after 1.25 s"),
    ('{"a": "evt_06f3k9w2zq8rt", "…": "…"}', '{"b": 1, "a": "evt_0000000000001"}'),
    ('{"a": [1, "…"]}', '{"a": [1, 2, 3]}'),
]
_OTHER = [
    ("a b", "a c"),
    ("a b", "a b\nc"),
    ("a\nb", "a"),
    ("a …", "b"),
    ("a …", "a b\nc"),
    ("evt_06f3k9w2zq8rt and evt_06f3k9w2zq8rt", "evt_0000000000001 and evt_0000000000002"),
    ("evt_06f3k9w2zq8rt", "dlv_0000000000001"),
    ("2026-01-01T00:00:00.000Z", "yesterday"),
    ('{"a": 1}', '{"a": 1, "b": 2}'),
    ('{"a": 1, "b": 2}', '{"a": 1}'),
    ('{"a": 1}', '{"a": true}'),
    ('{"a": 1}', '{"a": "1"}'),
    ('{"a": [1]}', '{"a": [1, 2]}'),
    ('{"a": 1}', "no JSON"),
]


@pytest.mark.parametrize(("shown", "actual"), _SAME)
def test_what_differs_each_time_is_the_same(shown: str, actual: str) -> None:
    """Ids, instants, times taken, white space, and what a page leaves out."""
    assert difference(shown, actual, Memory()) is None


@pytest.mark.parametrize(("shown", "actual"), _OTHER)
def test_what_differs_otherwise_is_not(shown: str, actual: str) -> None:
    """Anything else."""
    assert difference(shown, actual, Memory()) is not None


def test_names_stand_for_what_was_shown() -> None:
    """An id of the page is the real one from then on, an elided one the last of its kind; an unknown one is a fault."""
    memory = Memory()
    assert difference("wh_06f3k9w2zq8rt", "wh_0000000000001", memory) is None
    memory.learn("key  tsn_aaaaaaaaaaaaaaaaaaaaaaaa wh_0000000000002")
    assert (
        memory.fill("x wh_06f3k9w2zq8rt tsn_… wh_…")
        == "x wh_0000000000001 tsn_aaaaaaaaaaaaaaaaaaaaaaaa wh_0000000000002"
    )
    assert difference("wh_06f3k9w2zq8rt", "wh_0000000000003", memory) is not None
    with pytest.raises(AssertionError, match="nothing of that kind"):
        memory.fill("dlv_…")


# --- running ------------------------------------------------------------------------------------------------------


def test_what_runs_as_shown_passes(tmp_path: Path) -> None:
    """Commands share a shell, files are there, programs run, terminals go on."""
    _play(
        tmp_path,
        "```console\n$ X=5\n$ echo $X\n5\n```\n"
        "```json title=a.json\n{}\n```\n"
        "```console exit=3\n$ cat a.json\n{}\n$ (exit 3)\n```\n"
        "```python\nprint('x')\n```\n```text output\nx\n```\n"
        "```js\nconsole.log(1 + 1)\n```\n```text output\n2\n```\n"
        "```console terminal=t\n$ echo begun; sleep 0.1; echo more; sleep 60\nbegun\n```\n"
        "```console terminal=t\nmore\n```\n",
    )


@pytest.mark.parametrize(
    "text",
    [
        "```console\n$ echo 1\n2\n```\n",
        "```console\n$ false\n```\n",
        "```console exit=1\n$ true\n```\n",
        "```sh\nfalse\ntrue\n```\n",
        "```sh\necho 1\n```\n```text output\n2\n```\n",
        "```python\nraise SystemExit(1)\n```\n",
        "```js\nprocess.exit(1)\n```\n",
        "```json\n{\n```\n",
        "```haskell\nmain\n```\n",
        "```text output\nof nothing\n```\n",
        "```console\ntocsin\n```\n",
    ],
)
def test_what_does_not_run_as_shown_fails(text: str, tmp_path: Path) -> None:
    """Another output, another exit code, a program that fails, a language that nothing runs."""
    with pytest.raises(AssertionError):
        _play(tmp_path, text)
