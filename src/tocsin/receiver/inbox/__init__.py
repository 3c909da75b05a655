"""A receiver to look into: takes webhooks over HTTP, verifies each, keeps the last ones, answers as it is told.

Promises: bounded memory whatever arrives; every verdict with its cause; a page that only this machine can read.
Leaves out: doing anything with an event. It is behind ``tocsin listen`` and ``tocsin demo``, and serves tests.
"""
