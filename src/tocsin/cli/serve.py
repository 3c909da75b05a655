"""``tocsin serve``: the server."""

from tocsin.cli.settings import NO_FLAGS, SettingFlags


def serve(*, settings: SettingFlags = NO_FLAGS) -> int:
    """Run the server until SIGTERM or SIGINT."""
    loaded = settings.load()  # before anything heavy: what is wrong is said at once
    from tocsin import serving
    from tocsin.telemetry import configure_logging

    configure_logging(loaded.log_format)
    return serving.serve(loaded)
