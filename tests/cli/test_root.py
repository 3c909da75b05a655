"""The command's root: help, version, usage errors, what is where, and what is not imported."""

import json
import subprocess
import sys

from tests.cli.conftest import Terminal
from tests.cli.reference import FILE, made
from tocsin import __version__

COMMANDS = [
    "serve",
    "demo",
    "send",
    "listen",
    "verify",
    "sign",
    "accounts",
    "keys",
    "postback-tokens",
    "webhooks",
    "events",
    "deliveries",
    "profiles",
    "migrate",
    "doctor",
    "openapi",
]


def test_version(terminal: Terminal) -> None:
    """``--version`` says the version and nothing else."""
    assert terminal.ok("--version").out == f"{__version__}\n"


def test_help_lists_every_command(terminal: Terminal) -> None:
    """``--help`` names every command of the contract, on stdout."""
    shown = terminal.ok("--help").out
    assert all(f"│ {name} " in shown for name in COMMANDS)


def test_everything_is_explained() -> None:
    """Each command explains itself, and each of its arguments and options too."""
    sections = made().split("\n## tocsin ", 1)[1].split("```console\n")[1:]
    assert len(sections) > len(COMMANDS)
    for section in sections:
        usage, _, rest = section.partition("\n```\n")
        said, *parameters = rest.split("\n* `")
        assert said.strip(), usage
        assert all(": " in parameter for parameter in parameters), usage


def test_usage_errors_go_to_stderr(terminal: Terminal) -> None:
    """What is no command, no option or no value is a usage error: exit code 2, one sentence, nothing on stdout."""
    for arguments in (["webhook"], ["webhooks", "lst"], ["send"], ["events", "list", "--limit", "many"], ["--wrong"]):
        ran = terminal(*arguments)
        assert ran.code == 2, arguments
        assert ran.out == ""
        assert ran.err.startswith("tocsin: ")
        assert "Traceback" not in ran.err


def test_a_near_name_is_suggested(terminal: Terminal) -> None:
    """A misspelled command is answered with the one that was probably meant."""
    assert 'Did you mean "webhooks"' in terminal("webhook").err


def test_unreachable(terminal: Terminal) -> None:
    """Nobody at the address: exit code 7, and what to do."""
    ran = terminal("events", "list")
    assert (ran.code, ran.out) == (7, "")
    assert "http://127.0.0.1:1 cannot be reached" in ran.err
    assert "tocsin serve" in ran.err


def test_an_address_that_is_none(terminal: Terminal) -> None:
    """An address without a scheme is a usage error, before anything is sent."""
    assert terminal("events", "list", "--url", "localhost:8400").code == 2


def test_something_else_at_the_address(terminal: Terminal, listen) -> None:
    """A server that is not Tocsin is told apart from a missing resource."""
    other = listen("--status", 404)
    ran = terminal("webhooks", "list", url=other.url)
    assert ran.code == 4
    assert "not as Tocsin does" in ran.err


def test_whoever_reads_may_stop(terminal: Terminal) -> None:
    """A reader that has enough (``| head -1``) ends the command quietly."""
    ended = subprocess.run(
        f"{' '.join(terminal.command('profiles', 'show', 'standard', '--json'))} | head -1",
        shell=True,
        capture_output=True,
        env=terminal.environ,
        cwd=terminal.folder,
        check=True,
        timeout=60,
    )
    assert ended.stdout == b"{\n"
    assert ended.stderr == b""


def test_completion(terminal: Terminal) -> None:
    """A completion script is written that knows the commands and their options."""
    script = terminal.folder / "tocsin.bash"
    terminal.ok("--install-completion", "--shell", "bash", "--output", script, stdin=b"")
    assert all(name in script.read_text() for name in (*COMMANDS, "rotate-secret", "--external-id"))


def test_starts_without_what_it_does_not_need(terminal: Terminal) -> None:
    """Help and ``verify`` import no HTTP client, no server, no database, no sender."""
    heavy = ("httpx", "uvicorn", "starlette", "apsw", "pycurl", "cel", "prometheus_client", "tocsin.app", "aiodns")
    for arguments in (["--help"], ["verify", "missing", "--secret", "whsec_x"], ["sign", "missing", "--secret", "x"]):
        asked = f"""
import sys
from tocsin.cli.main import run
run({arguments!r})
print("LOADED", [name for name in {heavy!r} if name in sys.modules])
"""
        out = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
        assert out.stdout.rstrip().endswith("LOADED []"), arguments


def test_the_reference_is_what_there_is() -> None:
    """docs/reference/cli.md holds every command and option; ``python -m tests.cli.reference`` writes it anew."""
    assert FILE.read_text() == made()


def test_openapi_without_a_server(terminal: Terminal) -> None:
    """The API's description is printed, or written to a file, where no server runs."""
    description = json.loads(terminal.ok("openapi").out)
    assert description["openapi"].startswith("3.1")
    assert "/v1/events" in description["paths"]
    terminal.ok("openapi", "--output", "api.json")
    assert json.loads((terminal.folder / "api.json").read_text())["paths"].keys() == description["paths"].keys()


def test_profiles(terminal: Terminal) -> None:
    """Dialects are listed, and one is shown with its schedule, limits and event types."""
    assert "standard" in terminal.ok("profiles").out
    shown = terminal.json("profiles", "show", "standard")
    assert shown["schedule_s"] == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert shown["timeout_s"] == 15
    assert "click.created" in [one["name"] for one in shown["event_types"]]
    for name, schedule in (
        ("standard", "5 s, 5 m, 30 m, 2 h, 5 h"),
        ("cue", "1 s, 4 s, 16 s, 64 s, 256 s (6 attempts)"),
    ):
        assert schedule in terminal.ok("profiles", "show", name).out
    entry = terminal.json("profiles", "show", "standard", "--type", "click.created")
    assert entry["schema"]["type"] == "object"
    assert entry["example"]
    assert terminal("profiles", "show", "nobody").code == 4
    assert terminal("profiles", "show", "standard", "--type", "no.such").code == 4
