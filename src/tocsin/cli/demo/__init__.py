"""``tocsin demo``: the main job, for real and from nothing: a server process, receivers good and bad, real traffic.

Promises: it succeeds only if every delivery went the way that the scenario foresees and every arrival verified.
Leaves out: any knowledge of the server's inside; what happened is read from the API and from the receivers' ledger.
"""

from tocsin.cli.demo.command import demo

__all__ = ["demo"]
