"""``tocsin activity``: posts what happened, one or many at a time, and makes up a day of it.

Promises: each line of a file is posted as its own bytes, or told by its number why not; memory does not grow with the
file. Leaves out: any knowledge of the kinds' shapes; the server judges them.
"""

from tocsin.cli.activity.command import app

__all__ = ["app"]
