"""What receivers need: `verify` checks signatures, for any Python program; `inbox` and `doubles` are behind ``tocsin
listen``, as a program and as a chat, and `hosting` beneath both.

Promises: `verify` and `explain`, which it asks why, import nothing beyond the standard library; a failure names its
cause and how to mend it. Leaves out: sending, and all that a receiver does with an event once it is verified.
"""
