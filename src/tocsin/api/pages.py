"""The description for people: ``/docs``, and a page for every error code. Plain HTML without scripts or anything from
elsewhere, so that the strictest policy fits.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from typing import Any

import msgspec

from tocsin.api import routes
from tocsin.api.codes import CODES, DOCS_PATH, Cause
from tocsin.api.openapi import describe
from tocsin.api.operations import Access, Answer, Call, Reply, operation
from tocsin.errors import NotFound

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--dim:#57606a;--paper:#fff;--line:#d0d7de;--shade:#f6f8fa;--link:#0550ae}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--dim:#9aa4af;--paper:#0d1117;--line:#30363d;--shade:#161b22;
--link:#79b8ff}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);margin:0 auto;max-width:60rem;
padding:1rem}
a{color:var(--link)}h1{margin:.5rem 0}h2{border-bottom:1px solid var(--line);margin-top:2.5rem}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1rem;list-style:none;padding:0}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:.5rem .75rem}
summary{cursor:pointer}code,pre{font:14px/1.45 ui-monospace,monospace}
pre{background:var(--shade);border-radius:6px;overflow:auto;padding:.75rem}
table{border-collapse:collapse;width:100%}th,td{border-bottom:1px solid var(--line);padding:.25rem .5rem .25rem 0;
text-align:left;vertical-align:top}.dim{color:var(--dim)}.method{display:inline-block;font-weight:700;min-width:4rem}
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)
_HTML = "text/html; charset=utf-8"

Json = Mapping[str, Any]


@operation("GET", "/openapi.json", access=Access.PUBLIC, answers=(Answer(200, None, "The description"),))
async def get_description(call: Call) -> Reply:  # noqa: ARG001 - it asks nothing
    """The description of the API, OpenAPI 3.1."""
    return Reply(200, _description_json(), headers=(("Access-Control-Allow-Origin", "*"),))


@operation("GET", "/docs", access=Access.PUBLIC, answers=(Answer(200, None, "A page"),))
async def get_docs(call: Call) -> Reply:  # noqa: ARG001
    """The description for people."""
    return _page(_docs_html())


@operation("GET", "/docs/errors", access=Access.PUBLIC, answers=(Answer(200, None, "A page"),))
async def get_errors_page(call: Call) -> Reply:  # noqa: ARG001
    """All codes."""
    rows = "".join(
        f'<tr><td><a href="{DOCS_PATH}{code}"><code>{code}</code></a></td><td>{cause.status}</td>'
        f"<td>{escape(cause.title)}</td></tr>"
        for code, cause in CODES.items()
    )
    table = f"<table><tr><th>code</th><th>status</th><th>what happened</th></tr>{rows}</table>"
    return _page(_html("Errors", f"<h1>Errors</h1><p>Each answer from 400 on carries one of these codes.</p>{table}"))


@operation("GET", "/docs/errors/{code}", access=Access.PUBLIC, answers=(Answer(200, None, "A page"),))
async def get_error_page(call: Call) -> Reply:
    """One code: what it means and how to mend it."""
    cause = CODES.get(call.path["code"])
    if cause is None:
        raise NotFound("there is no such code; /docs/errors lists them")
    return _page(_error_html(call.path["code"], cause))


OPERATIONS = (get_description, get_docs, get_errors_page, get_error_page)


def _page(html: str) -> Reply:
    return Reply(200, html.encode(), content_type=_HTML, headers=_HEADERS)


@cache
def _description() -> Json:
    return describe(routes.OPERATIONS)


@cache
def _description_json() -> bytes:
    return msgspec.json.encode(_description())


def _html(title: str, main: str) -> str:
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)} · Tocsin</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
        '<nav aria-label="Documentation"><ul><li><a href="/docs">API</a></li><li><a href="/docs/errors">Errors</a></li>'
        f'<li><a href="/openapi.json">openapi.json</a></li></ul></nav><main>{main}</main></body></html>'
    )


def _error_html(code: str, cause: Cause) -> str:
    return _html(
        code,
        f"<h1><code>{code}</code></h1><p><strong>{cause.status}: {escape(cause.title)}.</strong></p>"
        f"<p>{escape(cause.meaning)}</p><p>{escape(cause.mend)}</p>",
    )


@cache
def _docs_html() -> str:
    described = _description()
    by_tag: dict[str, list[str]] = {tag["name"]: [] for tag in described["tags"]}
    for path, methods in described["paths"].items():
        for method, one in methods.items():
            by_tag[one["tags"][0]].append(_operation_html(method.upper(), path, one))
    parts = [f"<h1>Tocsin {described['info']['version']}</h1><p>{escape(described['info']['description'])}</p>"]
    names = [*(name for name, found in by_tag.items() if found), "what receivers get"]
    links = "".join(f'<li><a href="#{_anchor(name)}">{escape(name)}</a></li>' for name in names)
    parts.append(f'<nav aria-label="Sections"><ul>{links}</ul></nav>')
    for tag in described["tags"]:
        if not by_tag[tag["name"]]:
            continue
        parts.append(f'<h2 id="{_anchor(tag["name"])}">{escape(tag["name"])}</h2><p>{escape(tag["description"])}</p>')
        parts += by_tag[tag["name"]]
    parts.append(f'<h2 id="{_anchor(names[-1])}">{names[-1]}</h2>')
    parts += [_hook_html(hook["post"]) for hook in described["webhooks"].values()]
    return _html("API", "".join(parts))


def _operation_html(method: str, path: str, one: Json) -> str:
    parts = [f"<p>{escape(one['description'])}</p>"] if one["description"] else []
    rows = [
        f"<tr><td><code>{escape(p['name'])}</code></td><td class=dim>{p['in']}</td>"
        f"<td>{escape(p.get('description', ''))}</td></tr>"
        for p in one["parameters"]
    ]
    if rows:
        parts.append(f"<table><tr><th>parameter</th><th>in</th><th></th></tr>{''.join(rows)}</table>")
    if "requestBody" in one:
        parts.append(f"<h3>Body</h3>{_example(one['requestBody']['content'].values())}")
    for status, answer in one["responses"].items():
        content = answer.get("content", {})
        codes = next((part["examples"] for part in content.values() if "examples" in part), ())
        if codes:
            links = ", ".join(f'<a href="{DOCS_PATH}{code}"><code>{code}</code></a>' for code in codes)
            parts.append(f"<p>{status}: {links}</p>")
        else:
            parts.append(f"<h3>{status}: {escape(answer['description'])}</h3>{_example(content.values())}")
    summary = f"<span class=dim>{escape(one['summary'])}</span>"
    head = f"<span class=method>{method}</span> <code>{escape(path)}</code> {summary}"
    return f"<details><summary>{head}</summary>{''.join(parts)}</details>"


def _hook_html(hook: Json) -> str:
    headers = "".join(f"{escape(p['name'])}: {escape(str(p['schema']['examples'][0]))}\n" for p in hook["parameters"])
    return (
        f"<details><summary><code>{escape(hook['summary'])}</code> <span class=dim>{escape(hook['tags'][0])}</span>"
        f"</summary><p>{escape(hook['description'])}</p><pre>{headers}</pre>"
        f"{_example(hook['requestBody']['content'].values())}</details>"
    )


def _example(contents: Iterable[Json]) -> str:
    return "".join(
        f"<pre>{escape(json.dumps(content['example'], indent=2, ensure_ascii=False))}</pre>"
        for content in contents
        if "example" in content
    )


def _anchor(name: str) -> str:
    return name.replace(" ", "-")
