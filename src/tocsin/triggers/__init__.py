"""Decides what fires: from an account's activity and what is remembered of it, to the events of its dialect.

Promises: pure; the outcome depends on the order of activities only, not on how they were cut into requests.
Leaves out: reading and writing what is remembered, and the events' way out (`tocsin.engine`).
"""
