"""What keeps strangers out and secrets in: the outbound guard, encryption at rest, API keys, custom headers.

Promises that no address outside the public internet is dialled unless the operator named it, and that nothing secret
is stored readable. Leaves out the dialling itself (`engine.sending.sender`) and who may do what (`api`).
"""
