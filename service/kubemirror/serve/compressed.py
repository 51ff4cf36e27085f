"""Lists as gzip, each run of objects compressed once: what has not changed since is joined, not compressed again.

A deflate stream may be cut at byte boundaries (a sync flush, RFC 1951 3.2.3), and what was compressed without history
may follow anything, so a run is compressed alone and stays good for as long as its objects stand. The whole is one
gzip member (RFC 1952), because not every client reads a second one; its CRC is combined from those of the runs.

Where a run begins is decided by the objects' uids, so that one that comes or goes moves the ends of few other runs.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from kubemirror.state.objects import Object

# apiserver pkg/endpoints/handlers/responsewriters/writers.go: a higher level costs more time than it saves bytes.
LEVEL = 1
# Objects of a run: this many on average, twice as many at most. 64 of 2.5 kB take 2 ms to compress, which is what one
# change costs; fewer, and the start of each run compresses badly (deflate looks back 32 kB).
RUN_OBJECTS = 64
# A uid is a random UUID (apimachinery pkg/util/uuid): one in 64 ends so. No hash of Python's, which differs by process.
_BEGINNINGS = frozenset(("00", "40", "80", "c0"))
# Compressed, 100,000 Deployments are about 30 MB.
BUDGET_BYTES = 64 * 1024 * 1024
# A run's own cost beside its bytes: the tuple of hashes and the objects around.
_OVERHEAD_BYTES = 1024

_BEGIN = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x04\xff"  # deflate, no name, no time, fastest, no system
_END = b"\x03\x00"  # an empty last block
_POLYNOMIAL = 0xEDB88320  # CRC-32's, reflected


@dataclass(frozen=True, slots=True)
class Run:
    """Compressed bytes. size and crc: of what was compressed. hashes: of the objects in it."""

    data: bytes
    size: int
    crc: int
    hashes: tuple[int, ...] = ()

    @classmethod
    def of(cls, plain: bytes, hashes: tuple[int, ...] = ()) -> Run:
        compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
        data = compressor.compress(plain) + compressor.flush(zlib.Z_SYNC_FLUSH)
        return cls(data, len(plain), zlib.crc32(plain), hashes)


class Gzip:
    """One gzip stream: ``begin``, then each run, then the end."""

    begin = _BEGIN

    def __init__(self) -> None:
        self.size = 0  # bytes of what was compressed
        self._crc = 0

    def add(self, run: Run) -> bytes:
        """The bytes of ``run``, which come next."""
        self._crc = _times(_shift(run.size), self._crc) ^ run.crc
        self.size += run.size
        return run.data

    def end(self) -> bytes:
        return _END + self._crc.to_bytes(4, "little") + (self.size & 0xFFFFFFFF).to_bytes(4, "little")


# By the comma before it, if any, and its first object's uid.
_List = dict[tuple[bytes, str], Run]


class Runs:
    """The runs of the lists that were asked for, least recently used first, bounded by bytes."""

    def __init__(self, budget: int = BUDGET_BYTES) -> None:
        self.budget = budget
        self.size = 0
        self.made = 0
        self._lists: OrderedDict[Hashable, _List] = OrderedDict()

    def of(self, asked: Hashable, objects: Sequence[Object], item: Callable[[Object], bytes]) -> Iterator[Run]:
        """The runs of ``objects`` joined by commas, each made when it is taken; kept when all were taken.

        asked: what makes these objects and items these: the resource, its version, the form, the namespace. Whether a
        run still stands is told by its objects' bytes, whose hashes Python keeps; not by their resourceVersions, which
        a restored etcd gives again.
        """
        before = self._lists.get(asked, {})
        runs: _List = {}
        comma = b""
        for group in _groups(objects):
            hashes = tuple([hash(held.raw) for held in group])
            key = comma, group[0].uid
            run = before.get(key)
            if run is None or run.hashes != hashes:
                self.made += 1
                run = Run.of(comma + b",".join(map(item, group)), hashes)
            runs[key] = run
            yield run
            comma = b","
        self._keep(asked, runs)

    def _keep(self, asked: Hashable, runs: _List) -> None:
        self._drop(asked)
        size = _cost(runs)
        if size > self.budget // 2:
            return
        self._lists[asked] = runs
        self.size += size
        while self.size > self.budget:
            self._drop(next(iter(self._lists)))

    def _drop(self, asked: Hashable) -> None:
        self.size -= _cost(self._lists.pop(asked, {}))


def _cost(runs: _List) -> int:
    return sum(len(run.data) + _OVERHEAD_BYTES for run in runs.values())


def _groups(objects: Sequence[Object]) -> Iterator[Sequence[Object]]:
    start = 0
    for at, held in enumerate(objects):
        length = at - start
        if length and (held.uid[-2:] in _BEGINNINGS or length == 2 * RUN_OBJECTS):
            yield objects[start:at]
            start = at
    if start < len(objects):
        yield objects[start:]


# -- CRC-32 of joined parts, as zlib's crc32_combine: crc(a + b) = crc(a) * x^(8 len(b)) + crc(b) ------------


def _times(left: int, right: int) -> int:
    """The product of two polynomials; the highest bit is x^0."""
    product = 0
    while left:
        if left & 0x80000000:
            product ^= right
        left = (left << 1) & 0xFFFFFFFF
        right = (right >> 1) ^ _POLYNOMIAL if right & 1 else right >> 1
    return product


@lru_cache(maxsize=4096)
def _shift(size: int) -> int:
    """x^(8 size)."""
    power, square = 0x80000000, 0x00800000  # x^0, x^8
    while size:
        if size & 1:
            power = _times(square, power)
        square = _times(square, square)
        size >>= 1
    return power
