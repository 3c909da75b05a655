"""What receivers need: `verify` checks signatures, for any Python program; `inbox` is behind ``tocsin listen``.

Promises: `verify` imports nothing beyond the standard library, and a failure names its cause and how to mend it.
Leaves out: sending, and everything that a receiver does with an event once it is verified.
"""
