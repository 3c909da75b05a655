"""The life of the server's process: it listens, runs the parts, and ends in good order when it is told to."""

import asyncio
import contextlib
import gc
import logging
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn
import uvloop

from tocsin import __version__
from tocsin.app import App, open_app
from tocsin.config import Settings
from tocsin.errors import Misconfigured

log = logging.getLogger(__name__)

_OPEN_FILES = 65_536  # a connection each, to receivers and from publishers


def serve(settings: Settings) -> int:
    """Runs the server until SIGTERM or SIGINT; the exit code."""
    _allow_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(settings))


async def _serve(settings: Settings) -> int:
    listening = _listen(settings.host, settings.port)
    listening.setblocking(False)
    host, port = listening.getsockname()[:2]
    app = await open_app(settings)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    _announce(app, address)
    _spare_the_collector()
    server = _Server(
        uvicorn.Config(
            app.asgi,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
    )
    try:
        await server.serve(sockets=[listening])
    finally:
        await app.close(server.asked_s)
    return 0


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise Misconfigured(
            f"cannot listen on {host} port {port}: {error.strerror}; choose others with --host and --port"
        ) from None


class _Server(uvicorn.Server):
    """uvicorn, but for its signals: a second one must not cut short what `App.close` still writes down."""

    _asked_at: float | None = None

    @property
    def asked_s(self) -> float:
        """How long ago it was asked to end. It waits itself for requests that are under way."""
        return 0.0 if self._asked_at is None else time.monotonic() - self._asked_at

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._asked_at is None:
            self._asked_at = time.monotonic()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _announce(app: App, address: str) -> None:
    settings = app.settings
    log.info("server_started", extra={"address": address, "db": settings.db_shown, "version": __version__})
    said = f"Tocsin {__version__} at {address}\n"
    if app.made_operator_key is not None:
        said += f"The operator's key, shown this once: {app.made_operator_key}\n"
    sys.stderr.write(said)  # at once: who waits for the first line finds the second
    if settings.retry_scale != 1:
        log.warning("retries_scaled", extra={"scale": settings.retry_scale})
    if settings.allow_http or settings.allow_networks:
        opened = {"allow_http": settings.allow_http, "allow_networks": settings.allow_networks}
        log.warning("guard_opened", extra=opened)
    if settings.cue_trust_user_id:
        log.warning("user_ids_trusted", extra={"proxies": settings.trusted_proxies})
    sys.stderr.flush()


def _spare_the_collector() -> None:
    """Nearly everything here dies by its reference count. The cycle collector still looks at each young object again
    and again; looking a tenth as often, and never at what was there at the start, is a tenth of the time of an event.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


def _allow_open_files() -> None:
    """Every attempt under way is an open file; most systems start a process with 1,024 of them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
