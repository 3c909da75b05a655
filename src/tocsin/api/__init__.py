"""`/v1` over HTTP, and the surfaces that stand in for two vendors' interfaces: each operation is declared once, and
routing, decoding, permission and description follow from it.

Promises: strict requests, one shape for every error of a surface, another account's things are not there. Leaves out:
what the operations do (control, engine) and the life of the parts (app).
"""
