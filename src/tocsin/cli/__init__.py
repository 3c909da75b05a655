"""The ``tocsin`` command: what a person or a script asks for, passed on to the API, and shown.

Promises: data on stdout and all else on stderr, `--json` wherever data is shown, one meaning for each exit code.
Leaves out: every decision; those are the server's (api, control, engine) and the receiver's (receiver).
"""
