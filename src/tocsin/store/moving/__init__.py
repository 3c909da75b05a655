"""The move of an installation from its SQLite file to a PostgreSQL database, beside the server for the most part.

Promises that nothing is left out, nothing that was erased lives on, and no server ever starts on both.
Leaves out how it is asked for and shown (`tocsin migrate`), and whatever either store keeps for itself alone.
"""

from tocsin.store.moving.moves import move, undo
from tocsin.store.moving.report import Moved, Progress, TableMoved, Tell

__all__ = ["Moved", "Progress", "TableMoved", "Tell", "move", "undo"]
