"""A small writable cluster behind the same read API, with a life of its own and faults on demand.

``cluster`` is state without I/O: writes, conflicts, finalizers, definitions, garbage collection. ``api`` puts HTTP in
front of it, its reads being serve/kubernetes. ``life`` plays deployment controller, scheduler and kubelet; ``faults``
breaks what a test wants broken; ``server`` listens on a loopback socket.
"""
