"""What the mirror costs: ``python -m bench`` measures it on this machine and prints one table.

Absolute figures belong to the machine they were taken on, so each one stands beside something measured in
the same run: the bytes held, json.loads + json.dumps of the same object, a bare ASGI answer of the same
bytes. The serving process is the real ``kubemirror serve``, pinned to one core; the API server (the demo's,
a process of its own) and the load share the others.
"""
