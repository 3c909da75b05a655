"""Filters of webhooks: CEL that somebody else wrote, with a price that is known before it is run.

A filter that is taken ends, within bounded time and memory, on whatever event. Whose filter it is, routing knows.
"""
