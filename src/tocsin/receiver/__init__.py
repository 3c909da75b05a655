"""What receivers need: `verify` checks signatures, for any Python program; `inbox` is behind ``tocsin listen``.

Promises: `verify` and `explain`, which it asks why, import nothing beyond the standard library; a failure names its
cause and how to mend it. Leaves out: sending, and all that a receiver does with an event once it is verified.
"""
