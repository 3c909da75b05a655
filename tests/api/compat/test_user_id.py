"""Who calls on the surface of `cue`: the header x-user-id, every way it can come."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.site import HOOK, LocalShop, Site
from tests.support.api import Api, ApiAnswer
from tests.support.server import Server
from tocsin.store.sqlite.accounts import SqliteAccounts

PATH = "/api/v1/webhooks"
NEW = {"url": HOOK, "events": ["ad.click"]}
OUTSIDE = "192.0.2.7"


@dataclasses.dataclass(frozen=True)
class Cast:
    """Accounts and keys; `names` fills them into the headers of a row."""

    site: Site
    mine: LocalShop
    names: dict[str, str]

    def ask(self, headers: dict[str, str] | list[tuple[str, str]], peer: str | None = "127.0.0.1") -> ApiAnswer:
        pairs = headers.items() if isinstance(headers, dict) else headers
        filled = [(name, value.format_map(self.names)) for name, value in pairs]
        return self.site.ask("GET", PATH, headers=filled, peer=None if peer is None else (peer, 1))


def cast(site: Site) -> Cast:
    """`user-1` with a webhook of its own, `user-2`, an account of another profile, one that was removed."""
    mine = site.operator.shop("mine", "cue", external_id="user-1")
    other = site.operator.shop("other", "cue", external_id="user-2")
    plain = site.operator.shop("plain", external_id="user-3")
    gone = site.operator.shop("gone", "cue", external_id="user-4")
    site.operator.call("DELETE", f"/v1/accounts/{gone.id}")
    mine.webhook(HOOK)
    second, revoked = mine.post("/v1/keys"), mine.post("/v1/keys")
    mine.call("DELETE", f"/v1/keys/{revoked['id']}")
    names = {
        "mine": str(mine.key),
        "second": second["key"],
        "revoked": revoked["key"],
        "other": str(other.key),
        "plain": str(plain.key),
        "operator": site.operator_key,
        "my_id": mine.id,
        "other_id": other.id,
    }
    return Cast(site, mine, names)


@pytest.fixture(scope="module")
def strict(site: Site) -> Cast:
    return cast(site)


@pytest.fixture(scope="module")
def trusting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cast]:
    with Site(
        tmp_path_factory.mktemp("trusting"),
        cue_trust_user_id=True,
        trusted_proxies="127.0.0.0/8, ::1/128, 10.1.0.0/16, fd00::/8",
    ) as site:
        yield cast(site)


OWN = "Bearer {mine}"
FOREIGN = "Bearer {other}"
OPERATOR = "Bearer {operator}"
OK, WHO, WRONG, NOBODY = (200, None), (401, "missing_key"), (401, "unknown_key"), (404, "not_found")

# What is sent, and what comes of it: the same whether a gateway is trusted or not.
ALWAYS: dict[str, tuple[Any, tuple[int, str | None]]] = {
    "a key": ({"x-user-id": "{mine}"}, OK),
    "the header in other letters": ({"X-User-Id": "{mine}"}, OK),
    "a key with blanks around it": ({"x-user-id": "  {mine} "}, OK),
    "a key and itself": ({"x-user-id": "{mine}", "authorization": OWN}, OK),
    "a key and another of the account": ({"x-user-id": "{second}", "authorization": OWN}, OK),
    "a Bearer alone": ({"authorization": OWN}, OK),
    "an external id and the own key": ({"x-user-id": "user-1", "authorization": OWN}, OK),
    "an empty one and the own key": ({"x-user-id": "", "authorization": OWN}, OK),
    "an external id and the operator": ({"x-user-id": "user-1", "authorization": OPERATOR}, OK),
    "an external id, the operator, and the same account": (
        {"x-user-id": "user-1", "authorization": OPERATOR, "tocsin-account": "{my_id}"},
        OK,
    ),
    "a key and the operator": ({"x-user-id": "{mine}", "authorization": OPERATOR}, OK),
    "the operator and an account": ({"authorization": OPERATOR, "tocsin-account": "{my_id}"}, OK),
    "nothing": ({}, WHO),
    "an empty one": ({"x-user-id": ""}, WHO),
    "blanks": ({"x-user-id": "   "}, WHO),
    "a key and a Basic": ({"x-user-id": "{mine}", "authorization": "Basic e30="}, WHO),
    "a key and an empty Authorization": ({"x-user-id": "{mine}", "authorization": ""}, WHO),
    "a revoked key": ({"x-user-id": "{revoked}"}, WRONG),
    "an unknown key": ({"x-user-id": "tsn_" + "x" * 43}, WRONG),
    "a prefix of keys": ({"x-user-id": "tk_"}, WRONG),
    "the operator's key": ({"x-user-id": "{operator}"}, WRONG),
    "an external id and a revoked key": ({"x-user-id": "user-1", "authorization": "Bearer {revoked}"}, WRONG),
    "an external id and an unknown key": ({"x-user-id": "user-1", "authorization": "Bearer nothing"}, WRONG),
    "a key and a revoked key": ({"x-user-id": "{mine}", "authorization": "Bearer {revoked}"}, WRONG),
    "10 KB that begin like a key": ({"x-user-id": "tsn_" + "x" * 10_240}, WRONG),
    "an external id and a foreign key": ({"x-user-id": "user-1", "authorization": FOREIGN}, NOBODY),
    "a foreign external id and the own key": ({"x-user-id": "user-2", "authorization": OWN}, NOBODY),
    "an unknown external id and the own key": ({"x-user-id": "user-9", "authorization": OWN}, NOBODY),
    "an unknown external id and the operator": ({"x-user-id": "user-9", "authorization": OPERATOR}, NOBODY),
    "a removed account and the operator": ({"x-user-id": "user-4", "authorization": OPERATOR}, NOBODY),
    "a key and a foreign key": ({"x-user-id": "{mine}", "authorization": FOREIGN}, NOBODY),
    "a revoked key and the own key": ({"x-user-id": "{revoked}", "authorization": OWN}, NOBODY),
    "the operator's key and the own key": ({"x-user-id": "{operator}", "authorization": OWN}, NOBODY),
    "the account's id and the own key": ({"x-user-id": "{my_id}", "authorization": OWN}, NOBODY),
    "non-ASCII and the own key": ({"x-user-id": "us\xe9r-1", "authorization": OWN}, NOBODY),
    "non-ASCII and the operator": ({"x-user-id": "us\xe9r-1", "authorization": OPERATOR}, NOBODY),
    "10 KB and the operator": ({"x-user-id": "x" * 10_240, "authorization": OPERATOR}, NOBODY),
    "other letters and the own key": ({"x-user-id": "USER-1", "authorization": OWN}, NOBODY),
    "an external id, the operator, and another account": (
        {"x-user-id": "user-1", "authorization": OPERATOR, "tocsin-account": "{other_id}"},
        NOBODY,
    ),
    "a key and another account": ({"x-user-id": "{mine}", "tocsin-account": "{other_id}"}, NOBODY),
    "the operator alone": ({"authorization": OPERATOR}, (400, "account_required")),
    "given twice": ([("x-user-id", "{mine}"), ("x-user-id", "{mine}")], (400, "malformed_request")),
    "given twice, once empty": ([("x-user-id", ""), ("x-user-id", "{mine}")], (400, "malformed_request")),
    "a key of another profile": ({"x-user-id": "{plain}"}, (403, "wrong_profile")),
    "another profile and the operator": ({"x-user-id": "user-3", "authorization": OPERATOR}, (403, "wrong_profile")),
}

# Alone, they name an account and prove nothing.
NAMES = {
    "an external id": "user-1",
    "an unknown external id": "user-9",
    "a removed account": "user-4",
    "another profile": "user-3",
    "the account's id": "{my_id}",
    "other letters": "USER-1",
    "non-ASCII": "us\xe9r-1",
    "10 KB": "x" * 10_240,
}


def check(cast: Cast, answer: ApiAnswer, expected: tuple[int, str | None]) -> None:
    assert (answer.status, answer.code) == expected, answer.body
    if answer.status == 200:
        assert [one["url"] for one in answer.json["data"]] == [HOOK]  # it is that account, and no other
    challenge = answer.headers.get("www-authenticate")
    assert (challenge is not None) == (answer.status == 401)
    assert len(answer.body) < 1_000
    assert not any(key in answer.body.decode() for key in cast.names.values())


@pytest.mark.parametrize("row", ALWAYS)
@pytest.mark.parametrize("peer", ["127.0.0.1", OUTSIDE])
@pytest.mark.parametrize("where", ["strict", "trusting"])
def test_who_calls(request: pytest.FixtureRequest, where: str, peer: str, row: str):
    """A key counts wherever it stands, a name only beside a key that fits; trusting a gateway changes none of it."""
    cast = request.getfixturevalue(where)
    headers, expected = ALWAYS[row]
    check(cast, cast.ask(headers, peer), expected)


@pytest.mark.parametrize("row", NAMES)
def test_a_name_alone_is_no_credential(strict: Cast, row: str):
    """Whoever only names an account is nobody, wherever they come from and whatever they say of it."""
    said = {"x-user-id": NAMES[row]}
    for peer in ("127.0.0.1", "::1", OUTSIDE, None):
        check(strict, strict.ask(said, peer), WHO)
    spoofed = {"x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1", "x-real-ip": "127.0.0.1"}
    check(strict, strict.ask(said | spoofed, OUTSIDE), WHO)


@pytest.mark.parametrize(
    ("peer", "believed"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.1.255.1", True),
        ("::ffff:10.1.0.1", True),
        ("fd00::7", True),
        ("10.2.0.1", False),
        ("::ffff:10.2.0.1", False),
        ("::2", False),
        (OUTSIDE, False),
        ("testclient", False),
        ("", False),
        (None, False),
    ],
)
def test_a_gateway_is_believed_where_it_is_trusted(trusting: Cast, peer: str | None, *, believed: bool):
    """A name is enough where the connection itself comes from a trusted network; what headers say of it is not read."""
    for spoofed in ({}, {"x-forwarded-for": "127.0.0.1"}, {"x-forwarded-for": OUTSIDE, "forwarded": f"for={OUTSIDE}"}):
        check(trusting, trusting.ask({"x-user-id": "user-1", **spoofed}, peer), OK if believed else WHO)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("user-9", NOBODY),
        ("user-4", NOBODY),
        ("{my_id}", NOBODY),
        ("USER-1", NOBODY),
        ("us\xe9r-1", NOBODY),
        ("x" * 10_240, NOBODY),
        ("user-1,user-2", NOBODY),
        ("user-3", (403, "wrong_profile")),
    ],
)
def test_a_gateway_names_only_accounts_that_are_there(trusting: Cast, named: str, expected: tuple[int, str]):
    """Trusting a gateway opens the accounts of this surface that it names, and nothing else."""
    check(trusting, trusting.ask({"x-user-id": named}), expected)


def test_what_a_gateway_does_is_done_in_its_name(trusting: Cast):
    """Behind a trusted gateway webhooks are made as with a key; the audit tells the two apart; `/v1` does not believe
    it.
    """
    said = [("x-user-id", "user-2")]
    made = trusting.site.ask("POST", PATH, [b'{"url": "%s", "events": ["ad.click"]}' % HOOK.encode()], said)
    assert (made.status, len(made.json["secret"]) > 20) == (201, True)
    account = {"Tocsin-Account": trusting.names["other_id"]}
    newest = trusting.site.operator.ok("GET", "/v1/audit", headers=account)["data"][0]
    assert (newest["actor"], newest["action"]) == ("gateway", "webhook.created")
    assert trusting.site.ask("GET", "/v1/webhooks", headers=said).code == "missing_key"
    assert trusting.site.ask("GET", "/api/public/webhooks", headers=said).code == "missing_key"


def test_nobody_can_find_out_which_external_ids_there_are(strict: Cast, monkeypatch: pytest.MonkeyPatch):
    """Without the operator's key or a trusted gateway, none is looked up: so neither words nor time can tell."""

    async def looked_up(*_: object) -> None:
        raise AssertionError("an external id was looked up")

    monkeypatch.setattr(SqliteAccounts, "by_external_id", looked_up)
    for beside in ({}, {"authorization": OWN}, {"authorization": "Bearer nothing"}):
        there, absent = (strict.ask({"x-user-id": named, **beside}).json["error"] for named in ("user-2", "user-9"))
        assert {**there, "request_id": ""} == {**absent, "request_id": ""}
    assert strict.ask({"x-user-id": "user-2", "authorization": OPERATOR}).status == 500  # it would have been seen


def test_scopes_count(site: Site):
    """A key that may only read cannot change anything, however it is sent, and a stronger name lends it nothing."""
    shop = site.operator.shop(profile="cue")
    reader = shop.post("/v1/keys", {"scopes": ["read"]})["key"]
    body = b'{"url": "%s", "events": ["ad.click"]}' % HOOK.encode()
    for headers in (
        [("x-user-id", reader)],
        [("authorization", f"Bearer {reader}")],
        [("x-user-id", str(shop.key)), ("authorization", f"Bearer {reader}")],
    ):
        assert site.ask("GET", PATH, headers=headers).status == 200
        assert site.ask("POST", PATH, [body], headers).code == "missing_scope"


def test_a_revoked_key_is_refused_at_once(site: Site):
    """A key that worked a moment ago does not any more, in x-user-id as elsewhere."""
    shop = site.operator.shop(profile="cue")
    made = shop.post("/v1/keys")
    said = [("x-user-id", made["key"])]
    assert site.ask("GET", PATH, headers=said).status == 200
    shop.call("DELETE", f"/v1/keys/{made['id']}")
    assert site.ask("GET", PATH, headers=said).code == "unknown_key"


@pytest.mark.parametrize("networks", ["127.0.0.0/8", "10.0.0.0/8"])
def test_no_header_moves_the_peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: str):
    """On a real server the socket's own peer counts: no header can rewrite it, whatever the HTTP server's own
    variables allow.
    """
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    with Server(tmp_path, cue_trust_user_id=1, trusted_proxies=networks) as server:
        server.operator.shop(profile="cue", external_id="user-1")
        for claimed in ("127.0.0.1", "10.0.0.1", OUTSIDE):
            spoofed = {"x-user-id": "user-1", "X-Forwarded-For": claimed, "X-Real-Ip": claimed}
            answer = Api(lambda: server.url, None).call("GET", PATH, headers={**spoofed, "Forwarded": f"for={claimed}"})
            assert answer.status == (200 if networks.startswith("127.") else 401)
        assert "user_ids_trusted" in server.log.read_text()
