"""Carries out one request to a declared operation, from its head to its answer."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tocsin import ids
from tocsin.api import idempotency
from tocsin.api.bodies import Bodies, Gone
from tocsin.api.decoding import decode_body, decode_query
from tocsin.api.operations import Access, AccountFrom, Call, Empty, Operation, Reply, path_ids, permit
from tocsin.api.problems import MethodNotAllowed, RawHeaders, code_of, render
from tocsin.api.requests import Receive, Scope, Send, header
from tocsin.api.services import Services
from tocsin.api.surfaces import V1, Surface
from tocsin.control.actor import Principal
from tocsin.errors import Malformed, NotFound, Unavailable
from tocsin.model import AccountId

log = logging.getLogger(__name__)

PUBLISH_ID = "publish_event"  # an event that is refused counts as such, whichever way it came
UNKNOWN = "unknown"  # the operation of a request that has none


class Endpoint:
    """All operations of one path, which are of one surface."""

    def __init__(self, services: Services, bodies: Bodies, operations: Mapping[str, Operation]) -> None:
        (self._surface,) = {one.surface for one in operations.values()}
        self._services = services
        self._bodies = bodies
        self._operations = dict(operations)
        if "GET" in self._operations:
            self._operations["HEAD"] = self._operations["GET"]  # the server leaves the body out
        self._allow = tuple(sorted(self._operations))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        began_s = services.clock.monotonic_s()
        request_id = ids.show("req_", services.id_source.next())
        name = UNKNOWN
        try:
            declared = self._declared(scope["method"])
            name = declared.id
            reply = await self._carry_out(declared, request_id, scope, receive)
            status, headers, body = _render_reply(reply, request_id)
        except Gone:
            return
        except (Exception, asyncio.CancelledError) as caught:  # noqa: BLE001 - whatever it is, the client gets a problem
            error = cut_off() if isinstance(caught, asyncio.CancelledError) else caught
            status, headers, body = fail(error, request_id, name, self._surface)
            if name == PUBLISH_ID:
                services.metrics.refused(code_of(error))
        services.metrics.answered(name, status)
        services.metrics.http_duration_s.observe(services.clock.monotonic_s() - began_s)
        await answer(send, status, headers, body)

    def _declared(self, method: str) -> Operation:
        declared = self._operations.get(method)
        if declared is None:
            raise MethodNotAllowed(self._allow)
        return declared

    async def _carry_out(self, declared: Operation, request_id: str, scope: Scope, receive: Receive) -> Reply:
        services = self._services
        path: Mapping[str, str] = scope.get("path_params", {})
        principal: Principal | None = None
        account_id: AccountId | None = None
        if declared.access is not Access.PUBLIC:
            principal = await self._surface.authenticate(services, scope)
            permit(declared, principal)
        found_ids = path_ids(path)
        if principal is not None:
            account_id = await _account(services, declared, principal, found_ids, scope)
        # Probes and pages are asked by machines and links that add parameters of their own.
        strict = declared.access is not Access.PUBLIC
        query = decode_query(scope["query_string"], declared.query or Empty) if strict else Empty()
        body, content = b"", None
        if declared.body is not None or declared.method == "POST":
            body = await self._bodies.read(header(scope, b"content-length"), receive, declared.max_body_bytes)
            content = decode_body(body, declared.body or Empty)
        call = Call(
            services,
            request_id,
            principal=principal,
            account_id=account_id,
            path=path,
            ids=found_ids,
            body=content,
            raw=body,
            query=query,
        )
        key = header(scope, idempotency.HEADER)
        if key is None or declared.method != "POST":
            return await declared.handler(call)
        return await idempotency.once(
            services.store.idempotency,
            services.clock,
            declared,
            account_id=account_id,
            route=f"POST {scope['path']}",
            key=idempotency.read_key(key),
            body=body,
            run=lambda: declared.handler(call),
        )


class NotRouted:
    """What no operation answers: said in the form of the surface that the address lies in."""

    def __init__(self, services: Services, surfaces: Sequence[Surface], error: NotFound) -> None:
        self._services = services
        self._surfaces = surfaces
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI's form
        request_id = ids.show("req_", self._services.id_source.next())
        surface = next((one for one in self._surfaces if one.covers(scope["path"])), V1)
        status, headers, body = fail(self._error, request_id, UNKNOWN, surface)
        self._services.metrics.answered(UNKNOWN, status)
        await answer(send, status, headers, body)


def cut_off() -> Unavailable:
    """What is told where a process ends in the middle of a request, which its server then cancels."""
    return Unavailable("the server has stopped; it is unknown what became of this request", code="commit_unknown")


def fail(error: Exception, request_id: str, name: str, surface: Surface = V1) -> tuple[int, RawHeaders, bytes]:
    """The answer to an error; those that are nobody's fault but ours go to the log."""
    status, headers, body = render(error, request_id, surface.errors)
    if status == 500:
        fields = {"request_id": request_id, "operation": name, "status": status}
        log.error("request_failed", exc_info=error, extra=fields)
    return status, headers, body


async def answer(send: Send, status: int, headers: RawHeaders, body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _account(
    services: Services, declared: Operation, principal: Principal, found_ids: Mapping[str, int], scope: Scope
) -> AccountId | None:
    if declared.account is AccountFrom.NONE:
        return None
    account_id = await declared.surface.account_of(services, scope, principal)
    if declared.account is AccountFrom.PATH:
        in_path = AccountId(found_ids["account_id"])
        if account_id not in (None, in_path):
            raise NotFound("there is no such account")
        return in_path
    if account_id is None:
        if declared.account is AccountFrom.KEY:
            raise Malformed("name the account in the header Tocsin-Account: acc_…", code="account_required")
        return None
    if principal.account_id is None:
        await services.directory.fresh(account_id)  # an operator can name an account that is not there
    return account_id


def _render_reply(reply: Reply, request_id: str) -> tuple[int, RawHeaders, bytes]:
    body: Any = reply.body
    if body is None:
        content = b""
    elif isinstance(body, bytes):
        content = body
    else:
        content = msgspec.json.encode(body)
    headers: RawHeaders = [(b"request-id", request_id.encode()), (b"cache-control", b"no-store")]
    if body is not None:
        headers.append((b"content-type", reply.content_type.encode()))
    if reply.status != 204:
        headers.append((b"content-length", str(len(content)).encode()))
    headers.extend((name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers)
    return reply.status, headers, content
