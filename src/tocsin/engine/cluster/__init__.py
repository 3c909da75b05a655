"""This process among the others that work on the same database: what it may send for, and what they tell one another.

Promises: nothing is sent for a shard that is not held, and nothing after a lease has run out. Leaves out: who holds
which shard, which the store decides, and the lanes of those that are held, which are the dispatcher's.
"""
