"""``/in/{token}/postback``: what advertisers and trackers call at a conversion. Plain text both ways.

A conversion is known by the token and its transaction, or, without one, its click: the same again changes nothing, with
another status it is a change of status. Answers are short texts, not a pixel: servers call, and what they were told
stands in their logs, where people read it. The token is all the authority there is, and one that is unknown, revoked or
malformed gets one and the same 404.
"""

import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from tocsin import ids
from tocsin.api.bodies import Bodies, Gone
from tocsin.api.endpoint import answer
from tocsin.api.problems import RETRY_AFTER_S, RawHeaders, problem
from tocsin.api.requests import Receive, Scope, Send, header
from tocsin.api.services import Services
from tocsin.control.actor import Principal
from tocsin.engine.activity.activities import NewItem, Taken
from tocsin.errors import Malformed, NotFound, TocsinError
from tocsin.model import AccountId, KeyId
from tocsin.triggers.activity import Kind

PATH = "/in/{token}/postback"
NAME = "take_postback"  # in the figures and the log

log = logging.getLogger(__name__)

_NOT_HERE = b"no postback is taken here: check the token in the address, or ask whoever gave it to you for another\n"
_MAX_BYTES = 16 << 10
_MAX_PARAMETERS = 100
_MAX_ID = 200  # with the token's id, it is the conversion's
_METHODS = ("GET", "POST")

# The parameters, and what trackers call the same things.
NAMES: Mapping[str, str] = {
    **{name: name for name in ("click_id", "payout", "revenue", "currency", "txid", "status", "reason", "type")},
    **{name: name for name in ("offer_id", "campaign_id", "partner_id", *(f"sub{n}" for n in range(1, 10)))},
    "clickid": "click_id",
    "transaction_id": "txid",
    "amount": "payout",
}
_STATUSES: Mapping[str, str] = {
    **dict.fromkeys(("approved", "approve", "confirmed", "accepted", "paid"), "approved"),
    **dict.fromkeys(("pending", "hold", "open", "new"), "pending"),
    **dict.fromkeys(("rejected", "reject", "declined", "cancelled", "canceled", "reversed", "refunded"), "rejected"),
}

# What a conversion cannot do without, or would be wrong with a guess at. A macro that was left in anything else costs
# that value, not the conversion.
_DECIDING = frozenset({"txid", "click_id", "payout", "revenue", "currency", "status"})

# {payout}, {{payout}}, ${payout}, [payout], %payout%, #payout#, <payout>, __payout__: what a tracker has not filled in.
_MACRO = re.compile(r"\$?\{.*\}|\[.*\]|%[^%]+%|#[^#]+#|<.*>|__[A-Za-z_]+__", re.DOTALL)


class Postbacks:
    """The route, as a bare ASGI callable: it is nobody's `/v1`."""

    def __init__(self, services: Services, bodies: Bodies) -> None:
        self._services = services
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        began_s = services.clock.monotonic_s()
        request_id = ids.show("req_", services.id_source.next())
        try:
            status, said = await self._take(scope, receive)
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller gets a sentence
            status, said = _said(error, request_id)
        headers: RawHeaders = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(said)).encode()),
            (b"request-id", request_id.encode()),
            (b"cache-control", b"no-store"),
        ]
        if status == 503:
            headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
        if status == 405:
            headers.append((b"allow", ", ".join(_METHODS).encode()))
        services.metrics.answered(NAME, status)
        services.metrics.http_duration_s.observe(services.clock.monotonic_s() - began_s)
        await answer(send, status, headers, said)

    async def _take(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        if scope["method"] not in _METHODS:
            return 405, b"a postback is a GET or a POST\n"
        principal = await self._services.control.postback_tokens.principal(scope["path_params"]["token"])
        if principal is None:
            return 404, _NOT_HERE
        body = b""
        if scope["method"] == "POST":
            body = await self._bodies.read(header(scope, b"content-length"), receive, _MAX_BYTES)
        facts = read(scope["query_string"], body, header(scope, b"content-type"))
        await self._record(principal, facts)
        return 200, b"ok\n"

    async def _record(self, principal: Principal, facts: Mapping[str, str]) -> None:
        """Raises what refuses it."""
        account_id = principal.account_id
        assert account_id is not None, "a postback token is an account's"
        assert principal.key_id is not None, "it is a key"
        status = facts.get("status")
        conversion_id = _conversion_id(facts, principal.key_id)
        if status in ("approved", "rejected") and (status == "rejected" or "payout" not in facts):
            change = {"conversion_id": conversion_id, "status": status}
            if "reason" in facts:
                change["reason"] = facts["reason"]
            try:
                await self._post(account_id, Kind.CONVERSION_STATUS, change)
            except TocsinError as error:
                if error.code != "unknown_conversion":
                    raise
                if status == "rejected":
                    raise NotFound("nothing is known to reject: no conversion with this txid was reported") from None
            else:
                return
        await self._post(account_id, Kind.CONVERSION, _conversion(facts, conversion_id))

    async def _post(self, account_id: AccountId, kind: Kind, raw: dict[str, Any]) -> Taken:
        item = NewItem(kind=kind, raw=raw, source=orjson.dumps(raw))
        (taken,) = await self._services.activities.take(account_id, [item])
        if isinstance(taken, Exception):
            raise taken
        return taken


def read(query: bytes, body: bytes, content_type: bytes | None) -> dict[str, str]:
    """What a postback says, by our names; what is not known is passed over.

    Raises:
        Malformed: with a sentence for whoever set it up.
    """
    media = (content_type or b"").partition(b";")[0].strip().lower()
    if body.strip() and media not in (b"", b"application/x-www-form-urlencoded"):
        raise Malformed("send the parameters in the address, or as a form (application/x-www-form-urlencoded)")
    found = _known(_pairs(query) + _pairs(body))
    if "txid" not in found and "click_id" not in found:
        raise Malformed("txid or click_id is missing: without either no conversion can be told from another")
    for name in ("txid", "click_id"):
        if len(found.get(name, "")) > _MAX_ID:
            raise Malformed(f"{name} has more than {_MAX_ID} characters")
    if "status" in found:
        status = _STATUSES.get(found["status"].lower())
        if status is None:
            raise Malformed(f"status {found['status'][:64]!r} is not known: send pending, approved or rejected")
        found["status"] = status
    return found


def _known(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """By our names; each once. An empty one is as none."""
    found: dict[str, str] = {}
    for name, text in pairs:
        known, value = NAMES.get(name.lower()), text.strip()
        if known is None or not value:
            continue
        if _MACRO.fullmatch(value):
            if known not in _DECIDING:
                continue
            shown = value[:64]
            raise Malformed(f"{name} is still the macro {shown}: have your tracker fill it in, or leave {name} out")
        if found.setdefault(known, value) != value:
            raise Malformed(f"{name} is given more than once, with different values")
    return found


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError as error:
        raise Malformed(f"the parameters cannot be read; percent-encode them as UTF-8 ({error})") from None


def _conversion_id(facts: Mapping[str, str], token: KeyId) -> str:
    """The token's own id is part of it: two advertisers both number from 1."""
    known_by = f"tx:{facts['txid']}" if "txid" in facts else f"click:{facts['click_id']}"
    return ids.show(f"{known_by}:", token)


def _conversion(facts: Mapping[str, str], conversion_id: str) -> dict[str, Any]:
    if "currency" not in facts:
        raise Malformed("currency is missing: add it to the address, such as &currency=EUR")
    raw: dict[str, Any] = {"conversion_id": conversion_id, "currency": facts["currency"]}
    for name in ("click_id", "payout", "revenue", "status", "type", *(f"sub{n}" for n in range(1, 10))):
        if name in facts:
            raw[name] = facts[name]
    if "txid" in facts:
        raw["transaction_id"] = facts["txid"]
    for noun in ("offer", "campaign", "partner"):
        if f"{noun}_id" in facts:
            raw[noun] = {"id": facts[f"{noun}_id"]}
    return raw


def _said(error: Exception, request_id: str) -> tuple[int, bytes]:
    """The status, and a sentence. What is wrong with a postback is a 400 where the API says 422."""
    found = problem(error, request_id)
    if found.status == 500:
        log.error("request_failed", exc_info=error, extra={"request_id": request_id, "operation": NAME, "status": 500})
    status = 400 if found.status == 422 else found.status
    return status, f"{found.detail.lstrip('/')}\n".encode()
