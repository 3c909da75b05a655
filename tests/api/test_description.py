"""The description of the API, and the pages made from it."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from tests.api.conformity import description, fits
from tests.api.site import Site
from tocsin import profiles
from tocsin.api import pages, routes
from tocsin.api.codes import CODES, INTERNAL_ONLY, markdown
from tocsin.api.operations import Operation

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "tocsin"


def test_the_description_is_served(site: Site):
    """/openapi.json is the description, as OpenAPI 3.1."""
    answer = site.api().call("GET", "/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json == description()
    assert answer.json["openapi"].startswith("3.1.")


def taken(shape: Any, example: Any) -> bool:
    try:
        takes(shape, example)
    except msgspec.ValidationError:
        return False
    return True


def takes(shape: Any, example: Any) -> None:
    msgspec.json.decode(msgspec.json.encode(example), type=shape)


@pytest.mark.parametrize("operation", routes.OPERATIONS, ids=lambda one: one.id)
def test_every_operation_has_fitting_examples(operation: Operation):
    """Each body and each answer shows an example that its type takes."""
    assert operation.summary
    if operation.body is not None:
        shown = operation.body_shown or operation.body
        examples = [operation.body_example, *(operation.body_examples or {}).values()]
        for example in examples:
            assert any(taken(shape, example) for shape in (shown if isinstance(shown, tuple) else (shown,)))
    for answer in operation.answers:
        if answer.shape is not None and answer.media_type == "application/json":
            assert answer.example is not None
            takes(answer.shape, answer.example)


def test_examples_fit_the_schemas():
    """What the description shows as examples is what its own schemas say."""
    shown = 0
    for path in description()["paths"].values():
        for operation in path.values():
            contents = [answer.get("content", {}) for answer in operation["responses"].values()]
            contents.append(operation.get("requestBody", {}).get("content", {}))
            for content in contents:
                for part in content.values():
                    examples = [one["value"] for one in part.get("examples", {}).values() if "value" in one]
                    for example in [*examples, *([part["example"]] if "example" in part else [])]:
                        fits(example, part["schema"])
                        shown += 1
    assert shown > 40


def test_operations_have_names_of_their_own():
    """Every operation's id is its own, and every route is described."""
    ids = [one.id for one in (*routes.OPERATIONS, *pages.OPERATIONS)]
    assert len(set(ids)) == len(ids)
    described = {(method.upper(), path) for path, found in description()["paths"].items() for method in found}
    assert described == {(one.method, one.path) for one in routes.OPERATIONS}


def test_references_lead_somewhere():
    """Every reference within the description has its target, and every schema is a valid one."""

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            ref = value.get("$ref")
            if isinstance(ref, str) and ref.startswith("#/components/"):
                found: Any = description()
                for step in ref[2:].split("/"):
                    found = found[step]
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(description())
    for schema in description()["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_webhooks_are_described_from_the_catalogues():
    """Every event type of every profile is described as receivers get it: headers, body, a fitting example."""
    hooks = description()["webhooks"]
    types = [f"{name}.{type_}" for name in profiles.names() for type_ in profiles.load(name).catalogue]
    assert sorted(hooks) == sorted(types)
    for hook in hooks.values():
        content = hook["post"]["requestBody"]["content"]["application/json"]
        fits(content["example"], content["schema"])
    click = hooks["standard.click.created"]["post"]
    headers = {parameter["name"].lower() for parameter in click["parameters"]}
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= headers
    broken = {**click["requestBody"]["content"]["application/json"]["example"], "data": 3}
    with pytest.raises(jsonschema_rs.ValidationError):
        fits(broken, click["requestBody"]["content"]["application/json"]["schema"])


# --- errors -------------------------------------------------------------------------------------------------------


def test_the_reference_of_errors_is_the_codes():
    """docs/reference/errors.md has a section for every code, as the code itself tells it."""
    written = (ROOT / "docs" / "reference" / "errors.md").read_text()
    assert written == markdown(), "write it anew: python -m tocsin.api.codes > docs/reference/errors.md"


def test_every_code_is_known_and_used():
    """Each code that the source raises has its page, and each page's code is raised somewhere."""
    listed = SOURCE / "api" / "codes.py"
    text = "\n".join(file.read_text() for file in SOURCE.rglob("*.py") if file != listed)
    raised = set(re.findall(r'\bcode=f?"([a-z_]+)"', text)) | set(re.findall(r'default_code = "([a-z_]+)"', text))
    assert raised - INTERNAL_ONLY <= set(CODES)
    assert {code for code in CODES if f'"{code}"' not in text} == set()


@pytest.mark.parametrize("code", CODES)
def test_every_code_has_its_page(site: Site, code: str):
    """Each code is explained at the address that its problems give as their type."""
    page = site.api().call("GET", f"/docs/errors/{code}")
    assert page.status == 200
    assert code in page.body.decode()
    assert f'href="/docs/errors/{code}"' in site.api().call("GET", "/docs/errors").body.decode()


def test_a_code_that_is_none(site: Site):
    """There are no pages for codes that do not exist."""
    assert site.api().call("GET", "/docs/errors/nothing").status == 404


# --- pages --------------------------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """What a page loads, links to and contains."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.links += [value for name in ("href", "src") if (value := given.get(name))]
        self.ids |= {given["id"]} if given.get("id") else set()
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("path", ["/docs", "/docs/errors", "/docs/errors/not_found"])
def test_pages_stand_alone(site: Site, path: str):
    """The pages are well-formed, run nothing and load nothing, and their policy allows nothing but their own style."""
    page = site.api().call("GET", path)
    html = page.body.decode()
    outline = Outline(html)
    assert outline.open == []
    assert not {"script", "link", "img", "iframe", "form"} & set(outline.tags)
    assert not re.search(r"\son\w+=|style=", html)
    for link in outline.links:
        assert link.startswith("/") or link[1:] in outline.ids, link
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = page.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


def test_the_page_shows_every_operation(site: Site):
    """/docs shows each operation and each event type that receivers get."""
    html = site.api().call("GET", "/docs").body.decode()
    for one in routes.OPERATIONS:
        assert f"{one.method}</span> <code>{one.path}</code>" in html
    assert "click.created" in html


def test_links_of_the_pages_work(site: Site):
    """No page links to what is not there."""
    for path in ("/docs", "/docs/errors"):
        for link in set(Outline(site.api().call("GET", path).body.decode()).links):
            if link.startswith("/"):
                assert site.api().call("GET", link).status == 200, link
