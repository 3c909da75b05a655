"""``tocsin migrate``: the database's schema."""

from tocsin.cli.output import AsJson, Flag, put, put_json, say
from tocsin.cli.settings import NO_FLAGS, SettingFlags


def migrate(*, status: Flag = False, as_json: AsJson = False, settings: SettingFlags = NO_FLAGS) -> None:
    """Bring the database's schema up to date. The server does so itself when it starts.

    Args:
        status: Only show where the schema stands; works while a server runs.
        as_json: Print JSON.
    """
    loaded = settings.load()
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
