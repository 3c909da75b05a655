"""What the API needs from the rest: the one argument of `api.asgi.make_asgi`.

`app.py` builds it, in this order:

    keyring = Keyring(store.keys, clock)                    # control/keyring.py
    control = Control.of(store=…, vault=…, guard=…, resolver=…, directory=…, lane_settings=…, openings=…,
                         keyring=…, clock=…, id_source=…)                       # control/__init__.py
    await control.keys.ensure_operator_key(settings.admin_key)   # the made key where there was none, else None
    services = Services(…)
    await keyring.start()                                   # revocations are polled from here on
    asgi = make_asgi(services)
    …
    await keyring.close()                                   # before the store is closed: notes last uses

The ASGI callable itself starts nothing: it answers the server's `lifespan` and leaves every life to `app.py`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tocsin.clock import Clock
from tocsin.config import Settings
from tocsin.ids import IdSource
from tocsin.store.port import Store
from tocsin.telemetry import Metrics

if TYPE_CHECKING:
    from tocsin.control import Control
    from tocsin.engine.activity.activities import Activities
    from tocsin.engine.activity.backtest import Backtests
    from tocsin.engine.cluster.tenure import Tenure
    from tocsin.engine.directory import Directory
    from tocsin.engine.ingest import Ingest
    from tocsin.engine.manual import Manual


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """`control` carries vault, guard, resolver, lane settings and keyring; the API itself never touches them."""

    settings: Settings
    clock: Clock
    id_source: IdSource
    store: Store
    directory: "Directory"
    ingest: "Ingest"
    activities: "Activities"
    backtests: "Backtests"
    manual: "Manual"  # send_test, retry_now, cancel: what a person asks for
    control: "Control"
    tenure: "Tenure"
    metrics: Metrics
