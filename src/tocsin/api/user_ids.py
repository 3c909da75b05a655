"""Who calls where clients name themselves in the header `x-user-id`, as those of `cue` do.

Such a client sends nothing else. Here that is a credential only where it holds one:

    x-user-id          Authorization       the caller is
    ───────────────    ────────────────    ─────────────────────────────────────────────────────────────
    an account's key   –                   that account
    –                  a Bearer key        the key's account; the operator's names one in Tocsin-Account
    an external_id     a Bearer key        the key's account, which must be that one; the operator's: that one
    an external_id     –                   nobody, but where the operator trusts the gateway that sends it

What begins like a key is taken for a key and nothing else, and no account can have such an external_id. Whether an
external_id exists is looked up only for the operator's key and for a trusted gateway, so nobody else can find out.
"""

import ipaddress

from tocsin.api import requests
from tocsin.api.requests import Scope, header
from tocsin.api.services import Services
from tocsin.config import Settings
from tocsin.control.actor import Principal
from tocsin.errors import Malformed, NotFound, Unauthorised
from tocsin.model import AccountId
from tocsin.model import Scope as KeyScope
from tocsin.security.keys import looks_like_key

# A gateway vouches for whoever manages webhooks; it publishes nothing, and these are the scopes that the surface asks.
_VOUCHED = frozenset({KeyScope.MANAGE, KeyScope.READ})

# An external_id has at most 128 characters (CONTRACT §1); what is longer need not be looked up.
_MAX_EXTERNAL_ID = 128

_USER_ID = b"x-user-id"


async def authenticate(services: Services, scope: Scope) -> Principal:
    """Raises `Unauthorised`, `Malformed`, or, for a trusted gateway alone, `NotFound`."""
    keyring = services.control.keyring
    named = _user_id(scope)
    authorization = header(scope, b"authorization")
    if authorization is not None:
        return await requests.authenticate(keyring, authorization)
    if named is None:
        raise Unauthorised("send an API key of the account, in x-user-id or as a Bearer", code="missing_key")
    if looks_like_key(named):
        principal = await keyring.principal(named)
        if principal is None or principal.account_id is None:
            raise Unauthorised(
                "x-user-id is no API key of an account, or it was revoked; the operator's key goes into the header "
                "Authorization"
            )
        return principal
    if not _vouched_for(services.settings, scope):
        raise Unauthorised(
            "an x-user-id that is no API key proves nothing: send a key of the account instead, or beside it as "
            "Authorization: Bearer",
            code="missing_key",
        )
    account_id = await _by_external_id(services, named)
    if account_id is None:
        raise NotFound("no account has that x-user-id as its external_id")
    return Principal(key_id=None, account_id=account_id, scopes=_VOUCHED, may_publish=False)


async def account_of(services: Services, scope: Scope, principal: Principal) -> AccountId | None:
    """The account that the caller means. None: an operator that names none. Raises `NotFound`."""
    account_id = requests.account_of(principal, header(scope, b"tocsin-account"))
    named = _user_id(scope)
    if named is not None:
        meant = await _named_account(services, principal, named)
        # Whether there is such an account is not for another one to know: it is answered as in /v1, 404 either way.
        if meant is None or account_id not in (None, meant):
            raise NotFound("x-user-id is neither a key nor the external_id of the account that the key belongs to")
        account_id = meant
    return account_id


async def _named_account(services: Services, principal: Principal, named: str) -> AccountId | None:
    """The account that x-user-id means to that principal; None: none that it may know of."""
    if looks_like_key(named):
        other = await services.control.keyring.principal(named)
        return None if other is None else other.account_id
    if principal.account_id is None:
        return await _by_external_id(services, named)
    own = await services.control.accounts.get(principal.account_id)
    return own.id if own.external_id == named else None


def _user_id(scope: Scope) -> str | None:
    """None where it is not given, or empty.

    Raises:
        Malformed: it is given twice: a gateway that adds its own would let the caller's through.
    """
    values = [bytes(value) for name, value in scope["headers"] if name == _USER_ID]
    if len(values) > 1:
        raise Malformed("x-user-id is given more than once; a gateway must replace it, not add its own")
    return (values[0].decode("latin-1").strip() or None) if values else None


def _vouched_for(settings: Settings, scope: Scope) -> bool:
    """Whether the socket's own peer is a gateway that the operator trusts to say who calls."""
    if not settings.cue_trust_user_id or not scope.get("client"):
        return False
    try:
        peer = ipaddress.ip_address(scope["client"][0])
    except ValueError:
        return False
    mapped = peer.ipv4_mapped if peer.version == 6 else None
    return any((mapped or peer) in network for network in settings.proxies())


async def _by_external_id(services: Services, named: str) -> AccountId | None:
    if len(named) > _MAX_EXTERNAL_ID or not named.isascii():
        return None
    account = await services.store.accounts.by_external_id(named)
    return None if account is None else account.id
