"""A port of one's own within this process: the HTTP server, and the page that shows live what arrives there.

Promises: bounded head and body of a request; a page that only this machine can read and that loads nothing.
Leaves out: what a request means. It is beneath `receiver.inbox` and `receiver.doubles`.
"""
