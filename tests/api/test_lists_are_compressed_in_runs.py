"""A compressed list is one gzip stream of its bytes, and what has not changed in it is not compressed again."""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import replace

import hypothesis.strategies as st
from hypothesis import given

from kubemirror.serve.compressed import RUN_OBJECTS, Gzip, Run, Runs
from kubemirror.serve.listing import Listing
from kubemirror.state.objects import Object
from tests.api.cluster import Cluster, Store
from tests.state.building import made as held


def unzipped(stream: bytes) -> bytes:
    """Of exactly one member, its checksum and length verified by zlib."""
    reader = zlib.decompressobj(31)
    plain = reader.decompress(stream)
    assert reader.eof
    assert reader.unused_data == b""
    return plain


def item(obj: Object) -> bytes:
    return obj.raw


def zipped(runs: Runs, objects: Sequence[Object]) -> bytes:
    listing = Listing(b"[", lambda: map(item, objects), b"]", 0, runs=lambda: runs.of("all", objects, item))
    return b"".join(listing.compressed(Gzip(), b"\n"))


def plain(objects: Sequence[Object]) -> bytes:
    return b"[" + b",".join(map(item, objects)) + b"]\n"


@given(st.lists(st.binary(max_size=5000)))
def test_runs_joined_are_one_stream_of_all_their_bytes(parts: list[bytes]) -> None:
    stream = Gzip()
    joined = stream.begin + b"".join(stream.add(Run.of(part)) for part in parts) + stream.end()

    assert unzipped(joined) == b"".join(parts)


def test_a_list_without_kept_runs_is_the_same() -> None:
    objects = [held(f"web-{at}", at + 1) for at in range(300)]
    listing = Listing(b"[", lambda: map(item, objects), b"]", 0)

    assert unzipped(b"".join(listing.compressed(Gzip(), b"\n"))) == plain(objects)


def test_any_changes_end_in_the_bytes_of_the_list() -> None:
    chance = random.Random(7)
    objects = [held(f"web-{at:05}", at + 1) for at in range(1000)]
    newest = 1000
    runs = Runs()
    for _ in range(60):
        newest += 1
        at = chance.randrange(len(objects) + 1)
        match chance.choice(["change", "delete", "create", "first"]):
            case "change" if at < len(objects):
                objects[at] = held(objects[at].name, newest)
            case "delete" if at < len(objects):
                del objects[at]
            case "first":
                del objects[: chance.randrange(3)]
            case _:
                objects.insert(at, held(f"new-{newest}", newest))

        assert unzipped(zipped(runs, objects)) == plain(objects)


def test_one_change_compresses_one_run() -> None:
    objects = [held(f"web-{at:05}", at + 1) for at in range(2000)]
    runs = Runs()
    zipped(runs, objects)
    made = runs.made
    zipped(runs, objects)
    assert runs.made == made
    assert 2000 / (2 * RUN_OBJECTS) <= made <= 2000 / RUN_OBJECTS * 3

    objects[1234] = held(objects[1234].name, 5000)
    zipped(runs, objects)
    assert runs.made == made + 1

    del objects[700]
    zipped(runs, objects)
    assert runs.made <= made + 3  # where it began a run, its neighbours are one now


def test_other_bytes_under_the_same_version_are_compressed_anew() -> None:
    objects = [held(f"web-{at:05}", at + 1) for at in range(300)]
    runs = Runs()
    zipped(runs, objects)

    objects[150] = replace(objects[150], raw=objects[150].raw.replace(b"web-00150", b"web-00xxx"))
    assert unzipped(zipped(runs, objects)) == plain(objects)


def test_what_is_kept_is_bounded_and_the_oldest_goes_first() -> None:
    # The same uids in each, so that they are cut into the same runs.
    lists = {name: [replace(held(f"{name}-{at}", at + 1), uid=f"{at}") for at in range(200)] for name in "abcd"}
    one = Runs()
    list(one.of("a", lists["a"], item))
    runs = Runs(budget=one.size * 3)
    for name, objects in lists.items():
        list(runs.of(name, objects, item))
        assert runs.size <= runs.budget
    made = runs.made
    list(runs.of("d", lists["d"], item))
    assert runs.made == made
    list(runs.of("a", lists["a"], item))
    assert runs.made > made


def test_a_list_that_is_left_half_way_leaves_nothing_wrong_behind() -> None:
    objects = [held(f"web-{at:05}", at + 1) for at in range(500)]
    runs = Runs()
    next(runs.of("all", objects, item))

    assert unzipped(zipped(runs, objects)) == plain(objects)


async def test_a_namespace_is_the_same_compressed_or_not_whatever_changes(cluster: Cluster, deployments: Store) -> None:
    path = "/apis/apps/v1/namespaces/shop/deployments"
    for number in range(150):
        deployments.apply(f"d{number:04}", 101 + number, spec={"filling": f"{number}" * 700})
    for version in (300, 301):
        deployments.apply("d0070", version, spec={"filling": f"version {version}"})
        asked = await cluster.get(path, headers={"accept-encoding": "gzip"})
        not_asked = await cluster.get(path, headers={"accept-encoding": "identity"})

        assert asked.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in not_asked.headers
        assert asked.content == not_asked.content
        assert f"version {version}" in asked.text
