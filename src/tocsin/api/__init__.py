"""`/v1` over HTTP: each operation is declared once, and routing, decoding, permission and description follow from it.

Promises: strict requests, one problem shape for every error, another account's things are not there. Leaves out: what
the operations do (control, engine) and the life of the parts (app).
"""
