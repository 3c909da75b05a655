"""``/links/{token}``: pages for people who have no key, only a link from a mail or a chat.

A GET shows; what a link is for happens by POST, which its page's button sends, and a mail program's own (RFC 8058):
mail scanners follow links, and must not agree to anything. Links that are wrong, old or about something that is gone
look all the same. No scripts, nothing from elsewhere, nothing kept.
"""

import base64
import hashlib
import logging
from collections.abc import Sequence
from html import escape

from tocsin import ids
from tocsin.api.bodies import Bodies, Gone
from tocsin.api.endpoint import answer
from tocsin.api.problems import RETRY_AFTER_S, RawHeaders, problem
from tocsin.api.requests import Receive, Scope, Send, header
from tocsin.api.services import Services
from tocsin.channels.limits import clean
from tocsin.control.digests import DigestPage
from tocsin.control.readers import Subscription
from tocsin.errors import Invalid, NotFound
from tocsin.model import WebhookState
from tocsin.security.links import PATH as PREFIX
from tocsin.security.links import Grant, Purpose

PATH = f"{PREFIX}{{token}}"
NAME = "open_link"  # in the figures and the log

log = logging.getLogger(__name__)

_MAX_BYTES = 4_096  # of a form that says nothing but that its button was pressed

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--paper:#fff;--page:#f3f5f7;--line:#d8dee4;--act:#0969da}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa4af;--paper:#161b22;--page:#0d1117;--line:#30363d}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);margin:0;padding:4vh 1rem}
main{background:var(--paper);border:1px solid var(--line);border-radius:10px;margin:0 auto;max-width:34rem;
padding:1.5rem 1.75rem;overflow-wrap:anywhere}main.wide{max-width:60rem}
h1{font-size:1.35rem;line-height:1.3;margin:0 0 .75rem}h2{font-size:1rem;margin:1.25rem 0 .25rem}
p{margin:.5rem 0}.dim{color:var(--dim);font-size:.875rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.25rem 1rem;margin:1rem 0}dt{color:var(--dim)}dd{margin:0}
button{background:var(--act);border:0;border-radius:6px;color:#fff;cursor:pointer;font:inherit;font-weight:600;
margin:.5rem 0;padding:.6rem 1.25rem}button:focus-visible{outline:3px solid var(--ink);outline-offset:2px}
div{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid var(--line);
padding:.35rem .75rem .35rem 0;text-align:left;vertical-align:top}th{color:var(--dim);font-weight:400}
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


class LinkPages:
    """The route, as a bare ASGI callable: it is nobody's `/v1`."""

    def __init__(self, services: Services, bodies: Bodies) -> None:
        self._services = services
        self._bodies = bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        services = self._services
        began_s = services.clock.monotonic_s()
        request_id = ids.show("req_", services.id_source.next())
        try:
            status, html = await self._page(scope, receive, request_id)
        except Gone:
            return
        except (NotFound, Invalid):
            status, html = _NO_LINK
        except Exception as error:  # noqa: BLE001 - whatever it is, people get a page
            status, html = _failed(error, request_id)
        content = html.encode()
        headers: RawHeaders = [
            (b"content-type", b"text/html; charset=utf-8"),
            (b"content-length", str(len(content)).encode()),
            (b"request-id", request_id.encode()),
            (b"cache-control", b"no-store"),
            (b"content-security-policy", _POLICY.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (b"x-robots-tag", b"noindex, nofollow"),
        ]
        if status == 503:
            headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
        if status == 405:
            headers.append((b"allow", b"GET, POST"))
        services.metrics.answered(NAME, status)
        services.metrics.http_duration_s.observe(services.clock.monotonic_s() - began_s)
        await answer(send, status, headers, content)

    async def _page(self, scope: Scope, receive: Receive, request_id: str) -> tuple[int, str]:
        method = scope["method"]
        if method not in ("GET", "HEAD", "POST"):
            return 405, _html("This is a page", "<p>It can be opened, and its button pressed.</p>")
        readers = self._services.control.readers
        grant = readers.grant(scope["path_params"]["token"])
        if grant is None:
            return _NO_LINK
        if grant.purpose is Purpose.DIGEST:
            return 200, _digest(await self._services.control.digests.page(grant))
        if method == "POST":
            await self._bodies.read(header(scope, b"content-length"), receive, _MAX_BYTES)
            await readers.use(grant, request_id)
        found = await readers.subscription(grant)
        if found is None:
            return _NO_LINK
        return 200, _about(grant, found)


def _about(grant: Grant, found: Subscription) -> str:
    settings = found.webhook.settings
    owner = escape(clean(found.account.name))
    facts = _facts(found)
    if grant.purpose is Purpose.LEAVE:
        if settings.confirmed_at is None:
            return _html(
                "You get no more alerts",
                f"<p>Nothing is sent from {owner} to this address any more. If you change your mind, ask whoever set "
                f"it up: you will be asked again first.</p>{facts}",
            )
        return _html("Stop these mails?", f"<p>{owner} sends alerts to this address.</p>{facts}{_button('Stop them')}")
    if settings.confirmed_at is not None:
        active = found.webhook.state is WebhookState.ACTIVE
        follows = "" if active else " They begin when it is enabled."
        return _html(
            "You get these alerts",
            f"<p>{owner} may send alerts to this address.{follows} Each mail has a link that stops them.</p>{facts}",
        )
    return _html(
        "May we send you alerts?",
        f"<p>{owner} wants to send alerts to this address. Nothing is sent until you agree, and each mail has a link "
        f"that stops them.</p>{facts}{_button('Yes, send them')}"
        '<p class="dim">If you know nothing of this, close the page: nothing more will come.</p>',
    )


def _digest(page: DigestPage) -> str:
    message = page.message
    parts = [_pairs([(line.label, line.value) for line in message.lines])]
    for section in message.sections:
        pairs = _pairs([(line.label, line.value) for line in section.lines])
        parts.append(f"<h2>{escape(clean(section.heading))}</h2>{pairs}")
    if page.members:
        rows = "".join(
            f"<tr><td>{one.at}</td><td>{escape(clean(one.what))}</td><td>{escape(clean(one.campaign))}</td>"
            f"<td>{escape(clean(one.amount))}</td></tr>"
            for one in page.members
        )
        more = f'<p class="dim">The newest {len(page.members)}; the API lists them all.</p>' if page.more else ""
        parts.append(
            "<h2>One by one</h2><div><table><thead><tr><th>When</th><th>What</th><th>Campaign</th><th>Amount</th></tr>"
            f"</thead><tbody>{rows}</tbody></table></div>{more}"
        )
    parts.append(f'<p class="dim">{escape(clean(message.footer))}</p>')
    return _html(f"{clean(message.icon)} {clean(message.title)}".strip(), "".join(parts), "wide")


def _facts(found: Subscription) -> str:
    settings = found.webhook.settings
    rows = [
        ("Address", settings.url_shown.removeprefix("mailto:")),
        ("Account", clean(found.account.name)),
        ("Webhook", clean(settings.name) or ids.show("wh_", found.webhook.id)),
        ("Events", "all" if "*" in settings.events else ", ".join(settings.events)),
    ]
    return _pairs(rows)


def _pairs(rows: Sequence[tuple[str, str]]) -> str:
    if not rows:
        return ""
    return "<dl>" + "".join(f"<dt>{escape(clean(n))}</dt><dd>{escape(clean(v))}</dd>" for n, v in rows) + "</dl>"


def _button(label: str) -> str:
    return f'<form method="post"><button>{label}</button></form>'


def _html(title: str, main: str, kind: str = "") -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Tocsin</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f'<body><main class="{kind}"><h1>{escape(title)}</h1>{main}</main></body></html>'
    )


_NO_LINK = (
    404,
    _html(
        "This link leads nowhere",
        "<p>It is too old, was not copied whole, or what it was about is gone. Whoever sent it can send another.</p>",
    ),
)


def _failed(error: Exception, request_id: str) -> tuple[int, str]:
    found = problem(error, request_id)
    if found.status == 500:
        log.error("request_failed", exc_info=error, extra={"request_id": request_id, "operation": NAME, "status": 500})
    return found.status, _html("That did not work", f"<p>{escape(found.title)}. Please try again in a moment.</p>")
