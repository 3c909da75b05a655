"""All roles together."""

from typing import Protocol

from tocsin.store.port.cluster import Cluster, News
from tocsin.store.port.digests import Digests
from tocsin.store.port.erasure import Erasure
from tocsin.store.port.housekeeping import Housekeeping
from tocsin.store.port.idempotency import Idempotency
from tocsin.store.port.journal import Journal
from tocsin.store.port.notices import Notices
from tocsin.store.port.records import Records
from tocsin.store.port.settings import Accounts, Catalogue, Keys, Snapshots, Webhooks
from tocsin.store.port.triggers import Triggers


class Store(Protocol):
    """All roles of one database, and its life."""

    @property
    def journal(self) -> Journal: ...
    @property
    def cluster(self) -> Cluster: ...
    @property
    def news(self) -> News: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def keys(self) -> Keys: ...
    @property
    def catalogue(self) -> Catalogue: ...
    @property
    def digests(self) -> Digests: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def snapshots(self) -> Snapshots: ...
    @property
    def notices(self) -> Notices: ...
    @property
    def records(self) -> Records: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def housekeeping(self) -> Housekeeping: ...
    @property
    def erasure(self) -> Erasure: ...
    @property
    def triggers(self) -> Triggers: ...

    async def ready(self) -> bool:
        """Reachable, and its schema is this program's."""
        ...

    async def close(self) -> None:
        """Finishes what was begun and lets the database go."""
        ...
