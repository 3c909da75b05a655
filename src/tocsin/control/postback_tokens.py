"""Postback tokens: what stands in the addresses that advertisers call. Keys that may do nothing else.

A token is an API key without any scope: random, kept as a digest, audited and revoked as keys are. It stands in
addresses, so in other people's logs: all that it opens is reporting conversions to its one account.
"""

from collections.abc import Sequence

import msgspec

from tocsin import ids
from tocsin.control.actor import Actor, Principal
from tocsin.control.keyring import Keyring
from tocsin.control.keys import KeyControl
from tocsin.control.values import Line
from tocsin.errors import NotFound
from tocsin.model import AccountId, ApiKey, KeyId
from tocsin.store.port import Keys, Page

PREFIX = "pst_"

_AT_ONCE = 250


class NewPostbackToken(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`name`: which advertiser or network gets it."""

    name: Line = ""


class PostbackTokenControl:
    def __init__(self, *, keys: Keys, control: KeyControl, keyring: Keyring) -> None:
        self._keys = keys
        self._control = control
        self._keyring = keyring

    async def create(self, actor: Actor, account_id: AccountId, new: NewPostbackToken) -> tuple[ApiKey, str]:
        """The token's row and its text, which cannot be shown again."""
        row, text = self._control.make(account_id, prefix=PREFIX, name=new.name, scopes=frozenset())
        subject = ids.show("key_", row.id)
        await self._keys.add(row, actor.change(row.created_at, "postback_token.created", subject, name=row.name))
        return row, text

    async def list(self, account_id: AccountId, page: Page) -> Sequence[ApiKey]:
        """As the store's lists: one more than asked for, where there are more."""
        found: list[ApiKey] = []
        before = page.before
        while rows := await self._keys.list(account_id, Page(limit=_AT_ONCE, before=before)):
            found += [row for row in rows[:_AT_ONCE] if not row.scopes]
            before = rows[-1].id
            if len(found) > page.limit or len(rows) < _AT_ONCE:
                break
        return found[: page.limit + 1]

    async def revoke(self, actor: Actor, account_id: AccountId, key_id: KeyId) -> None:
        """Raises `NotFound`: there is no such token, or it was revoked already."""
        before = Page(limit=1, before=key_id + 1)
        rows = await self._keys.list(account_id, before)
        if not rows or rows[0].id != key_id or rows[0].scopes:
            raise NotFound("there is no such postback token, or it is revoked already")
        await self._control.revoke(actor, account_id, key_id)

    async def principal(self, text: str) -> Principal | None:
        """Whose token it is; None: nobody's (any more)."""
        if not text.startswith(PREFIX):
            return None
        found = self._keyring.known(text) or await self._keyring.principal(text)
        return None if found is None or found.scopes or found.account_id is None else found
