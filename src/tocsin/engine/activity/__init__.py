"""Runs the triggers: activity in, events out, in one transaction with all that is remembered.

An activity counts once and fires once, also over crashes and repeated posts. What fires is decided in
`tocsin.triggers`, which is pure; here is what needs a store and a clock: the queue, timers, backtests, knowledge that
is read again.
"""
