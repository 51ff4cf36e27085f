"""A real Kubernetes control plane on loopback: built from Go modules pinned here, started in seconds, no root.

modules/ pins what is built; programs.py finds or builds it, once for all checkouts; control_plane.py runs it;
``python -m tests.cluster up`` leaves one running.
"""
