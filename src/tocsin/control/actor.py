"""Who is acting, for permissions and for the audit log."""

from typing import Any

import msgspec

from tocsin import ids
from tocsin.clock import Millis
from tocsin.model import ALL_SCOPES, AccountId, KeyId, Scope
from tocsin.store.port import Change


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever holds a key, or whom a trusted gateway vouches for (`key_id` None). `account_id` None: the operator."""

    key_id: KeyId | None
    account_id: AccountId | None
    scopes: frozenset[Scope]
    may_publish: bool  # what the hot path asks of the scopes


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """A principal in one request, or one without a key (`principal` None)."""

    principal: Principal | None = None
    request_id: str | None = None
    role: str = "system"  # of who has no principal

    @property
    def name(self) -> str:
        """As the audit log shows it: ``operator``, ``key_…``, ``gateway``, ``system``, or ``reader``: who reads a
        webhook's mails.
        """
        if self.principal is None:
            return self.role
        if self.principal.account_id is None:
            return "operator"
        if self.principal.key_id is None:
            return "gateway"
        return ids.show("key_", self.principal.key_id)

    @property
    def scopes(self) -> frozenset[Scope]:
        return ALL_SCOPES if self.principal is None else self.principal.scopes

    def change(self, at: Millis, action: str, subject: str, **detail: Any) -> Change:
        """An entry for the audit log; `detail` must hold no secret."""
        return Change(at=at, actor=self.name, action=action, subject=subject, detail=detail, request_id=self.request_id)


SYSTEM = Actor()
