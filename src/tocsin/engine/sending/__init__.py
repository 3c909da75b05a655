"""The door to the network: one request goes out, one truthful `Outcome` comes back.

No address is dialled that the outbound guard refuses, and no answer takes more than its share of memory or time. When
something is sent, and what follows from its outcome, is decided elsewhere.
"""
