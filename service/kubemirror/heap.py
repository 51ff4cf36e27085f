"""glibc's heap, told to give large buffers back.

A page of a list and a body of some megabytes live for a moment. glibc maps such buffers apart and unmaps them when they
are freed, but takes the first one freed for a hint that more will come: from then on they are cut from the heap, where
they leave holes (mallopt(3), M_MMAP_THRESHOLD). Setting the threshold, to whatever value, ends that.
"""

from __future__ import annotations

import ctypes

# Pieces of answers and reads of the network, of 64 to 256 kB, stay in the heap, where they are quicker to have.
APART_BYTES = 1024 * 1024
_M_MMAP_THRESHOLD = -3  # malloc.h


def give_large_buffers_back() -> bool:
    """For this process; False where the system's C library has no such thing."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(_M_MMAP_THRESHOLD, APART_BYTES))
