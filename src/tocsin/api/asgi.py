"""The API as one ASGI callable: the hot paths in front, Starlette's router behind it."""

import re

from starlette.routing import Route, Router

from tocsin.api import links, pages, postbacks, routes
from tocsin.api.bodies import Bodies
from tocsin.api.endpoint import Endpoint, NotRouted
from tocsin.api.operations import Operation
from tocsin.api.publish import DOORS
from tocsin.api.requests import Asgi, Receive, Scope, Send
from tocsin.api.services import Services

# Parameters that take the rest of a path: whoever named them was free to use a slash.
_WITH_SLASHES = re.compile(r"\{(visitor|offer|campaign|partner)\}$")


def _pattern(path: str) -> str:
    return _WITH_SLASHES.sub(r"{\1:path}", path)


def make_asgi(services: Services, bodies: Bodies | None = None) -> Asgi:
    """Nothing is started: the parts of `services` are alive before the first request and after the last."""
    by_path: dict[str, dict[str, Operation]] = {}
    for one in (*routes.OPERATIONS, *pages.OPERATIONS):
        by_path.setdefault(one.path, {})[one.method] = one
    bodies = bodies or Bodies()
    routed = [Route(_pattern(path), Endpoint(services, bodies, methods)) for path, methods in by_path.items()]
    router = Router(
        [
            *routed,
            Route(postbacks.PATH, postbacks.Postbacks(services, bodies)),
            Route(links.PATH, links.LinkPages(services, bodies)),
        ],
        redirect_slashes=False,
        default=NotRouted(services, routes.SURFACES),
    )
    doors = {path: door(services, bodies, router) for path, door in DOORS.items()}

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


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
