"""What is durable, behind small role protocols (`port`), once for each database.

Promises: what a call has answered survives `kill -9` and power loss; driver exceptions become `tocsin.errors`; SQL
lives in ``sql/<backend>/<noun>.sql`` and never asks for the time. Leaves out: any decision about what fires, matches,
is due or is retried.
"""
