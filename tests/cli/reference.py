"""Makes docs/reference/cli.md: ``python -m tests.cli.reference`` writes it, a test holds it to the program."""

from pathlib import Path

from tocsin.cli.main import make_app

FILE = Path(__file__).parents[2] / "docs" / "reference" / "cli.md"

_HEAD = """\
# The command line

One command, `tocsin`. It talks to a server through its API and holds no logic of its own; `serve`, `doctor` and
`migrate` work on an installation, `listen`, `verify`, `sign`, `profiles`, `openapi` and `demo` need none.

## What holds for every command

Data goes to stdout, everything else to stderr. With `--json`, what is printed on stdout is JSON; `listen --json` prints
one object a line. Where stdout is no terminal, tables have no colours and are not folded.

| exit code | meaning |
|---|---|
| 0 | ok |
| 1 | failed |
| 2 | usage: the command line or a setting is wrong |
| 3 | not authorised: no key, an unknown one, or one that may not do this |
| 4 | not found |
| 5 | rejected as invalid; stderr names each value at fault |
| 6 | not delivered, or not verified |
| 7 | unreachable: no answer, or one that says to come again later |

| variable | flag | meaning |
|---|---|---|
| `TOCSIN_URL` | `--url` | where the server is; `http://127.0.0.1:8400` unless said otherwise |
| `TOCSIN_KEY`, else `TOCSIN_ADMIN_KEY` | `--key` | an account's API key, or the operator's |
| `TOCSIN_ACCOUNT` | `--account` | the account to act for, with the operator's key |
| `TOCSIN_WEBHOOK_SECRET` | `--secret` | for `verify`, `sign` and `listen`: the webhook's secret |

The settings of the server (`serve`, `doctor`, `migrate`) are flags, `TOCSIN_*` variables, or keys of `tocsin.toml`, the
first of these being the strongest. `TOCSIN_ADMIN_KEY` and `TOCSIN_SECRET_KEY` are no flags, since other users of a
machine see those.

`tocsin --install-completion` installs completion for bash, zsh or fish.

## A delivery from nothing

In one terminal, a receiver and a server that may deliver to it:

```sh
tocsin listen &
tocsin serve --allow-http --allow-networks 127.0.0.0/8
```

In another, with the operator's key that the server has printed:

```sh
export TOCSIN_ADMIN_KEY=tsn_…
tocsin accounts create "My shop"
export TOCSIN_KEY=tsn_…                                    # the account's, just printed
tocsin webhooks create http://127.0.0.1:8410/ --event 'click.*'
tocsin send click.created --example --wait
tocsin deliveries list
```

"""


def made() -> str:
    """The whole file."""
    commands = make_app().generate_docs(heading_level=1, usage_name="tocsin").replace(" -m tests.cli.reference", "")
    # The root's own head is said above; each command follows.
    start, end = commands.index("## tocsin serve"), commands.index("## tocsin --install-completion")
    return _HEAD + "\n".join(line.rstrip() for line in commands[start:end].splitlines()).rstrip() + "\n"


if __name__ == "__main__":
    FILE.write_text(made())
