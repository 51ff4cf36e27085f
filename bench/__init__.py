"""What the mirror costs, and others beside it: ``python -m bench`` measures it here and prints four tables.

Absolute figures belong to the machine they were taken on, so each one stands beside something measured in the same
run: version-rs and kube-apiserver with the same objects; the bytes held, json.loads + json.dumps of the same object, a
bare ASGI answer of the same bytes. The serving process is the real ``kubemirror serve``, pinned to one core; the API
server and the load share the others.
"""
