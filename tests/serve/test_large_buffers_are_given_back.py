"""What a large answer took of memory is the system's again when it was sent."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys
from kubemirror.heap import APART_BYTES, give_large_buffers_back

def mapped():
    return int(open("/proc/self/statm").read().split()[0]) * 4096

if sys.argv[1] == "told":
    assert give_large_buffers_back()
bytes(4 * APART_BYTES)  # mapped apart, freed: from here on glibc would cut the next from the heap
before = mapped()
large = bytes(3 * APART_BYTES)
small = [bytes(4000) for _ in range(1000)]  # lies above it
del large
print(mapped() - before)
"""


def left(how: str) -> int:
    """Bytes of a freed buffer that are still mapped, small ones beside it taken off."""
    done = subprocess.run([sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, text=True)
    return int(done.stdout) - 4_100_000


def test_a_buffer_that_is_freed_leaves_no_hole_in_the_heap() -> None:
    assert left("told") < 1_000_000
    assert left("untold") > 2_000_000  # else this system needs no telling, and heap.py can go
