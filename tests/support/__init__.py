"""The vocabulary of the end-to-end tests: a real server process, a receiver that keeps a ledger, a small API client.

Promises: everything waits at most as long as it says, listens on loopback only, and ends what it started and no more.
Leaves out: any knowledge of the product's inside; what happens is seen over HTTP and in the receiver's ledger.
"""
