"""The API as one ASGI callable: the hot paths in front, Starlette's router behind it."""

import re
from collections.abc import Sequence

from starlette.routing import Route, Router

from tocsin.api import health, links, pages, postbacks, routes
from tocsin.api.bodies import Bodies
from tocsin.api.endpoint import Endpoint, NotRouted
from tocsin.api.operations import Operation
from tocsin.api.publish import DOORS
from tocsin.api.requests import Asgi, Receive, Scope, Send
from tocsin.api.services import Services
from tocsin.errors import NotFound

# Parameters that take the rest of a path: whoever named them was free to use a slash.
_WITH_SLASHES = re.compile(r"\{(visitor|offer|campaign|partner)\}$")


def _pattern(path: str) -> str:
    return _WITH_SLASHES.sub(r"{\1:path}", path)


def make_asgi(services: Services, bodies: Bodies | None = None) -> Asgi:
    """What a process of its role answers. Nothing is started: the parts of `services` are alive before the first
    request and after the last.
    """
    bodies = bodies or Bodies()
    if services.settings.serves_api:
        router = _everything(services, bodies)
        doors = {path: door(services, bodies, router) for path, door in DOORS.items()}
    else:
        router, doors = _probes(services, bodies), {}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            door = doors.get(scope["path"])
            if door is not None and scope["method"] == "POST":
                await door(scope, receive, send)
            else:
                await router(scope, receive, send)
        elif scope["type"] == "lifespan":
            await _lifespan(receive, send)

    return app


def _everything(services: Services, bodies: Bodies) -> Router:
    routed = _routes(services, bodies, (*routes.OPERATIONS, *pages.OPERATIONS))
    others = [
        Route(postbacks.PATH, postbacks.Postbacks(services, bodies)),
        Route(links.PATH, links.LinkPages(services, bodies)),
    ]
    no_address = NotFound("there is no such address; /docs describes those there are")
    return _router([*routed, *others], NotRouted(services, routes.SURFACES, no_address))


def _probes(services: Services, bodies: Bodies) -> Router:
    """All that a process answers which only sends."""
    where = services.settings.public_url or "a process whose role is api or all"
    elsewhere = NotFound(
        f"this process is a worker: it sends, and answers {', '.join(one.path for one in health.OPERATIONS)}; "
        f"everything else is asked of {where}",
        code="not_served_here",
    )
    return _router(_routes(services, bodies, health.OPERATIONS), NotRouted(services, routes.SURFACES, elsewhere))


def _routes(services: Services, bodies: Bodies, operations: Sequence[Operation]) -> Sequence[Route]:
    by_path: dict[str, dict[str, Operation]] = {}
    for one in operations:
        by_path.setdefault(one.path, {})[one.method] = one
    return [Route(_pattern(path), Endpoint(services, bodies, methods)) for path, methods in by_path.items()]


def _router(found: Sequence[Route], otherwise: NotRouted) -> Router:
    return Router(found, redirect_slashes=False, default=otherwise)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
