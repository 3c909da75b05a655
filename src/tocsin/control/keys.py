"""API keys: made, shown once, listed, revoked."""

import secrets
from collections.abc import Sequence
from typing import Annotated

import msgspec

from tocsin import ids
from tocsin.clock import Clock
from tocsin.control.actor import SYSTEM, Actor
from tocsin.control.keyring import Keyring
from tocsin.control.values import Line
from tocsin.errors import Conflict, Fault, Forbidden, Misconfigured, NotFound
from tocsin.ids import IdSource
from tocsin.model import ALL_SCOPES, AccountId, ApiKey, KeyId, Scope
from tocsin.security.keys import digest, hint, new_key
from tocsin.store.port import Keys, Page

OPERATOR_PREFIX = "tsn_"

# Keys that came from the setting carry this name, so that a changed setting replaces them.
_FROM_SETTING = "TOCSIN_ADMIN_KEY"

# A key that can be guessed opens every account: 128 bits in base 64 are 22 characters.
_MIN_KEY_CHARS = 22


class NewKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is asked for: a name, and the scopes it may use."""

    name: Line = ""
    scopes: Annotated[frozenset[Scope], msgspec.Meta(min_length=1)] = ALL_SCOPES


class KeyControl:
    """The operator's keys are those of no account."""

    def __init__(self, *, keys: Keys, keyring: Keyring, clock: Clock, id_source: IdSource) -> None:
        self._keys = keys
        self._keyring = keyring
        self._clock = clock
        self._id_source = id_source

    def make(
        self, account_id: AccountId | None, *, prefix: str, name: str = "", scopes: frozenset[Scope] = ALL_SCOPES
    ) -> tuple[ApiKey, str]:
        """A key that is not stored yet, and its text."""
        text = new_key(prefix, secrets.token_bytes)
        return self._row(account_id, text, name=name, scopes=scopes), text

    async def create(
        self, actor: Actor, account_id: AccountId | None, new: NewKey, *, prefix: str
    ) -> tuple[ApiKey, str]:
        """The key and its text, which cannot be shown again.

        Raises:
            Forbidden: a scope was asked for that the actor has not.
        """
        beyond = new.scopes - actor.scopes
        if beyond:
            raise Forbidden(
                f"a key cannot give what it has not: {', '.join(sorted(beyond))}",
                code="missing_scope",
                faults=[Fault("/scopes", f"this key has {', '.join(sorted(actor.scopes))}")],
            )
        key, text = self.make(account_id, prefix=prefix, name=new.name, scopes=new.scopes)
        await self._add(actor, key)
        return key, text

    async def list(self, account_id: AccountId | None, page: Page) -> Sequence[ApiKey]:
        return await self._keys.list(account_id, page)

    async def revoke(self, actor: Actor, account_id: AccountId | None, key_id: KeyId) -> None:
        """In force here at once, and in every other process within two seconds.

        Raises:
            NotFound: no such key; or it was revoked already.
            Conflict: `key_in_use`: the operator asks with that very key, and would be locked out.
        """
        if account_id is None and actor.principal is not None and actor.principal.key_id == key_id:
            raise Conflict(
                "an operator's key cannot revoke itself; make another one and revoke this one with it",
                code="key_in_use",
            )
        now = self._clock.now_ms()
        change = actor.change(now, "key.revoked", ids.show("key_", key_id))
        if not await self._keys.revoke(account_id, key_id, now, change):
            raise NotFound("there is no such key, or it is revoked already")
        self._keyring.forget(key_id)

    async def ensure_operator_key(self, given: str | None) -> str | None:
        """Sees to it at the start that an operator can get in.

        Args:
            given: the setting `admin_key`. It replaces the key that an earlier value of the setting gave.

        Returns:
            The text of a key that had to be made, to be printed once; None where there was one or it was given.

        Raises:
            Misconfigured: the given key is too short to be safe, or belongs to an account, or was revoked.
        """
        if given is not None:
            await self._take_setting(given)
            return None
        if await self._keys.operator_key_exists():
            return None
        key, text = self.make(None, prefix=OPERATOR_PREFIX, name="first")
        await self._add(SYSTEM, key)
        return text

    async def _take_setting(self, given: str) -> None:
        if len(given) < _MIN_KEY_CHARS or not given.isascii() or not given.isprintable() or " " in given:
            raise Misconfigured(
                f"TOCSIN_ADMIN_KEY must have at least {_MIN_KEY_CHARS} printable ASCII characters and no space; "
                "make one with: openssl rand -hex 24"
            )
        found = await self._keys.by_digest(digest(given))
        if found is not None and found.account_id is not None:
            raise Misconfigured("TOCSIN_ADMIN_KEY is the key of an account; choose another")
        if found is not None and found.revoked_at is not None:
            raise Misconfigured("TOCSIN_ADMIN_KEY was revoked; choose another")
        if found is None:
            found = self._row(None, given, name=_FROM_SETTING, scopes=ALL_SCOPES)
            if not await self._add(SYSTEM, found):
                return  # another process starts just now, with the same setting
        before = None
        while page := await self._keys.list(None, Page(limit=250, before=before)):
            for key in page:
                if key.name == _FROM_SETTING and key.id != found.id and key.revoked_at is None:
                    await self.revoke(SYSTEM, None, key.id)
            before = page[-1].id

    def _row(self, account_id: AccountId | None, text: str, *, name: str, scopes: frozenset[Scope]) -> ApiKey:
        return ApiKey(
            id=KeyId(self._id_source.next()),
            account_id=account_id,
            name=name,
            hint=hint(text),
            digest=digest(text),
            scopes=scopes,
            created_at=self._clock.now_ms(),
            last_used_at=None,
            revoked_at=None,
        )

    async def _add(self, actor: Actor, key: ApiKey) -> bool:
        subject = ids.show("key_", key.id)
        return await self._keys.add(
            key, actor.change(key.created_at, "key.created", subject, name=key.name, scopes=sorted(key.scopes))
        )
