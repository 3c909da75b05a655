"""``tocsin migrate``: the database's schema, and the move to another database."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from tocsin.cli.exits import FAILED, INVALID, USAGE, Failure
from tocsin.cli.output import AsJson, Flag, put, put_json, put_table, say
from tocsin.cli.settings import NO_FLAGS, SettingFlags

if TYPE_CHECKING:
    from tocsin.config import Settings
    from tocsin.store.moving.report import Moved

_Address = Annotated[str | None, Parameter(negative=(), show_default=False)]

_MEND = (
    "Stop the server and give them other texts, for instance: "
    "UPDATE timer SET name = 'another' WHERE instr(CAST(name AS BLOB), x'00')"
)

# Rows, or pieces, that are named; there may be thousands.
_NAMED = 20


def migrate(
    *,
    from_: Annotated[_Address, Parameter(name="--from")] = None,
    to: _Address = None,
    undo: Flag = False,
    status: Flag = False,
    as_json: AsJson = False,
    settings: SettingFlags = NO_FLAGS,
) -> None:
    """Bring the database's schema up to date, or move to another database: see `main`.

    Args:
        from_: Move from this file: sqlite:///tocsin.db.
        to: Move to this database: postgresql://…; unless given, the one of TOCSIN_DB, where a password is better kept.
        undo: Let the file be served again after a move, and the database of --to no more.
        status: Only show where the schema stands; works while a server runs.
        as_json: Print JSON.
    """
    loaded = settings.load()
    if from_ is not None:
        if status:
            raise Failure(USAGE, "--status shows the schema of one database; leave --from out")
        _undo(loaded, from_, to) if undo else _move(loaded, from_, to, as_json=as_json)
        return
    if to is not None or undo:
        raise Failure(USAGE, "say where from: --from sqlite:///tocsin.db")
    _migrate(loaded, status=status, as_json=as_json)


def _migrate(loaded: "Settings", *, status: bool, as_json: bool) -> None:
    from tocsin import installation

    if status:
        found = installation.schema_status(loaded)
        if as_json:
            put_json({"found": found.found, "newest": found.newest})
        else:
            put(f"The schema is {found.found or 'not there yet'}; the newest is {found.newest}.")
        return
    applied = installation.migrate(loaded)
    if as_json:
        put_json({"applied": list(applied)})
        return
    for name in applied:
        put(name)
    say("The schema is up to date." if applied else "The schema was up to date already.")


def _move(loaded: "Settings", source: str, target: str | None, *, as_json: bool) -> None:
    from tocsin import installation
    from tocsin.cli.moving import Shown

    with Shown() as shown:
        moved = installation.move(loaded, source, loaded.db if target is None else target, shown)
    if moved.complete:
        _say_moved(moved, key_given=loaded.secret_key is not None, as_json=as_json)
    elif moved.held is not None:
        raise Failure(
            FAILED,
            "what can be moved beside the server is moved; stop it, then run the same command again: what is left is "
            "what has changed, and the check",
            [moved.held],
        )
    elif moved.unfit:
        raise Failure(
            INVALID,
            f"PostgreSQL cannot hold a text with the character NUL, which {moved.origin} has; none of these was moved",
            [*moved.unfit[:_NAMED], _MEND],
        )
    else:
        raise Failure(
            FAILED,
            f"{moved.address} does not hold what was written to it: somebody else has changed it. The move is not "
            f"complete, and {moved.origin} is as it was; make the database anew, empty, and begin again",
            moved.differences[:_NAMED],
        )


def _say_moved(moved: "Moved", *, key_given: bool, as_json: bool) -> None:
    digests = dict(moved.digests)
    if as_json:
        put_json(
            {
                "from": moved.origin,
                "to": moved.address,
                "already": moved.already,
                "tables": {table.table: table.rows for table in moved.tables},
                "digests": digests,
                "left": dict(moved.left),
            }
        )
    elif moved.tables:
        put_table(
            ("what", "table", "rows", "digest of all"),
            ([table.noun, table.table, f"{table.rows:,}", digests[table.noun]] for table in moved.tables),
        )
    for table, rows in moved.left:
        say(f"{rows:,} rows of {table} belong to nothing that is there any more; they were left behind.")
    say(
        f"{moved.origin} was moved to {moved.address} before."
        if moved.already
        else f"All of {moved.origin} is in {moved.address}, counted and compared."
    )
    file = moved.origin.removeprefix("sqlite:///")
    key = "the same TOCSIN_SECRET_KEY" if key_given else f'TOCSIN_SECRET_KEY="$(openssl base64 -A -in {file}.key)"'
    say(f"Start the server with TOCSIN_DB={moved.address} and {key}.")
    say(f"To go back to the file, without what comes from now on: tocsin migrate --from {moved.origin} --undo")


def _undo(loaded: "Settings", source: str, target: str | None) -> None:
    from tocsin import installation

    installation.undo_move(loaded, source, target)
    say(f"A server can start on {source} again.")
    if target is None:
        say("See to it that none runs on the database that it was moved to: what both have would be delivered twice.")
