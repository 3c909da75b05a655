"""``tocsin serve``: the server."""

import socket

from tocsin.cli.exits import FAILED, Failure
from tocsin.cli.settings import NO_FLAGS, SettingFlags


def serve(*, settings: SettingFlags = NO_FLAGS) -> int:
    """Run the server until SIGTERM or SIGINT."""
    loaded = settings.load()  # before anything heavy: what is wrong is said at once
    _check_free(loaded.host, loaded.port)
    from tocsin import app
    from tocsin.telemetry import configure_logging

    configure_logging(loaded.log_format)
    return app.serve(loaded)


def _check_free(host: str, port: int) -> None:
    """Says in one line what an attempt to listen there would fail with.

    Raises:
        Failure: nobody can listen there.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = (
            "is another Tocsin running? Another port is given with --port" if port else "another is given with --host"
        )
        raise Failure(FAILED, f"cannot listen at {host}, port {port}: {reason}; {hint}") from None
