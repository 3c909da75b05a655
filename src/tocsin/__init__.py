"""Tocsin: takes ad-traffic activity or ready events, decides what fires, and delivers it as webhooks.

The journey of one event, file by file, is told in ``docs/tour.md``.
"""

__version__ = "0.1.0"
USER_AGENT = f"Tocsin/{__version__}"  # CONTRACT §4; of all that goes out over HTTP
