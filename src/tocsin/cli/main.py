"""The command's root: names every command, and turns whatever happens into an exit code.

Commands are named by where they live and imported only when they are run, so that ``tocsin --help`` costs nothing.
"""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Group

from tocsin import __version__
from tocsin.cli import exits
from tocsin.cli.output import say
from tocsin.errors import Misconfigured, TocsinError

_RUN = Group("Run", sort_key=1)
_SEND = Group("Publish and receive", sort_key=2)
_MANAGE = Group("Manage, through the API", sort_key=3)
_OPERATE = Group("Look after", sort_key=4)
_OPTIONS = Group("Options", sort_key=5)

_HELP = (
    "Webhooks for ad traffic: events go in, signed webhooks come out, and nothing is lost.\n\n"
    "Data goes to stdout, everything else to stderr. Exit codes: 0 ok, 1 failed, 2 usage, 3 not authorised, "
    "4 not found, 5 rejected as invalid, 6 not delivered or not verified, 7 unreachable."
)

_SERVE = (
    "Run the server: API and sending in one process, or one of several that share a PostgreSQL database (--role).\n\n"
    "It says its address and, at its very first start, the operator's key. Every setting is a flag, a variable "
    "(--allow-http is TOCSIN_ALLOW_HTTP) or a key of tocsin.toml (allow_http), the first of these being the strongest; "
    "TOCSIN_ADMIN_KEY and TOCSIN_SECRET_KEY are no flags, since other users of the machine see those."
)

_MIGRATE = (
    "Bring the database's schema up to date, or move to another database.\n\n"
    "A server brings the schema up to date itself when it starts. With --from everything is moved from an SQLite file "
    "to an empty PostgreSQL database, most of it while the server goes on. Run it again whenever it was interrupted: "
    "it goes on where it was. The last part needs the server stopped; then all is counted and compared before a server "
    "can start on the new database."
)

_COMMANDS: Sequence[tuple[str, str, Group, str]] = (
    ("serve", "serve:serve", _RUN, _SERVE),
    ("demo", "demo:demo", _RUN, "Show it all at work: a real server, receivers good and bad, several hundred events."),
    ("send", "send:send", _SEND, "Publish an event."),
    (
        "activity",
        "activity:app",
        _SEND,
        "Post what happened, one thing or a file of them; the server decides what fires.",
    ),
    ("listen", "listen:listen", _SEND, "Receive webhooks here: show them, verify them, answer as told."),
    ("verify", "verify:verify", _SEND, "Check the signature of a webhook; say why it fails and how to mend it."),
    ("sign", "sign:sign", _SEND, "Sign a body; print the headers."),
    ("accounts", "accounts:app", _MANAGE, "The tenants (operator)."),
    ("keys", "keys:app", _MANAGE, "API keys."),
    ("postback-tokens", "postback_tokens:app", _MANAGE, "For the addresses that advertisers call at a conversion."),
    ("webhooks", "webhooks:app", _MANAGE, "Subscriptions: where, which events, in what state."),
    ("events", "events:app", _MANAGE, "What happened, and why it went where it went."),
    ("deliveries", "deliveries:app", _MANAGE, "Events on their way, with every attempt."),
    ("offers", "offers:app", _MANAGE, "What a conversion is worth, how long it is held, and its caps."),
    ("campaigns", "campaigns:app", _MANAGE, "Budgets, and how a campaign does."),
    ("partners", "partners:app", _MANAGE, "Who brings the traffic."),
    ("visitors", "visitors:app", _MANAGE, "What is kept of one visitor, taken out."),
    ("alerts", "alerts:app", _MANAGE, "A metric that passes a threshold."),
    ("profiles", "profiles:app", _OPERATE, "The dialects that accounts can speak."),
    ("doctor", "doctor:doctor", _OPERATE, "Check a set-up, and say how to mend it."),
    ("migrate", "migrate:migrate", _OPERATE, _MIGRATE),
    ("openapi", "openapi:openapi", _OPERATE, "Print the API's description."),
)


def make_app() -> App:
    """The whole command, nothing of it imported yet."""
    app = App(
        name="tocsin",
        help=_HELP,
        version=__version__,
        help_format="plaintext",
        group_commands=_OPTIONS,
        result_action="return_value",
    )
    for place, (name, where, group, text) in enumerate(_COMMANDS):
        app.command(f"tocsin.cli.{where}", name=name, group=group, help=text, sort_key=place)
    app.register_install_completion_command(help="Install completion for bash, zsh or fish.")
    return app


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(tokens: Sequence[str]) -> int:
    """Runs one command line; the exit code."""
    try:
        result = make_app()(list(tokens), exit_on_error=False, print_error=False)
        sys.stdout.flush()
    except exits.Failure as failure:
        return _end(failure.code, failure.detail, *failure.lines)
    except CycloptsError as error:
        return _end(exits.USAGE, str(error), "tocsin --help lists the commands, tocsin COMMAND --help its options.")
    except TocsinError as error:
        code = exits.USAGE if isinstance(error, Misconfigured) else exits.of_status(error.status)
        return _end(code, error.detail, *(f"  {fault.pointer}: {fault.detail}" for fault in error.faults))
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Whoever read has enough. What is still buffered must not fail a second time when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OK
    return result if isinstance(result, int) else exits.OK


def _end(code: int, detail: str, *lines: str) -> int:
    say(f"tocsin: {detail}")
    for line in lines:
        say(line)
    return code
