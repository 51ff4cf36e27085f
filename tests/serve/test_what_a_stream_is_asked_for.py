"""What a reader of /watch may wish for: batches, the latest only, what means something, a new start when too late."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from kubemirror.access.authorizer import ANONYMOUS
from kubemirror.errors import ExpiredError, TooLargeResourceVersionError
from kubemirror.serve.asked import Asked
from kubemirror.serve.life import Life
from kubemirror.serve.serving import Serving
from kubemirror.serve.status import StatusError
from kubemirror.serve.subscription import Subscription
from kubemirror.serve.watch_query import WatchQuery, query_of, subscribe
from kubemirror.settings import Settings
from tests.serve.live import Live, frame_of
from tests.serve.world import NODES, Store, World

ASKED = Asked("GET", "/watch", "", "", "http", "localhost", {}, None, ANONYMOUS)


@pytest.fixture
def store(world: World) -> Store:
    store = world.mirror()
    store.sync(
        store.object(7, "web", "blue", labels={"app": "web"}), store.object(9, "api", "green", labels={"app": "api"})
    )
    return store


async def reader(world: World, **given: Any) -> Subscription:
    """A subscription to deployments whose reader takes what it is given, when the test says so."""
    query: WatchQuery = query_of({"resource": "deploy", **given})
    return await subscribe(Serving(world.context), ASKED, query, Life(world.context))


async def heard(subscription: Subscription) -> list[Any]:
    """The messages of its next turn."""
    async with asyncio.timeout(5):
        return [orjson.loads(frame.data) for frame in await subscription.next()]


def told(frame: Any) -> tuple[Any, ...]:
    """(type, name, cursor)."""
    return frame["type"], frame["object"].get("metadata", {}).get("name"), frame.get("resourceVersion")


def deployment(store: Store, version: int, **wanted: Any) -> None:
    """A new state of web with ``wanted``: image, replicas, ready, labels."""
    container = {"name": "web", "image": wanted.get("image", "web:1")}
    spec = {"replicas": wanted.get("replicas", 1), "template": {"spec": {"containers": [container]}}}
    store.apply(
        version,
        "web",
        "blue",
        labels=wanted.get("labels", {"app": "web"}),
        spec=spec,
        status={"readyReplicas": wanted.get("ready", 0), "heartbeat": version},
    )


# -- batch --------------------------------------------------------------------------------------------


async def test_a_batch_is_all_that_there_is_in_one_message(world: World, store: Store) -> None:
    subscription = await reader(world, batch=True)
    snapshot = await heard(subscription)
    store.apply(101, "web", "blue", image="web:2")
    store.apply(102, "api", "green", image="api:2")
    changes = await heard(subscription)
    subscription.close()

    assert [told(event) for event in snapshot[0]["events"]] == [
        ("ADDED", "web", None),
        ("ADDED", "api", None),
        ("BOOKMARK", None, "100"),
    ]
    assert [told(event) for event in changes[0]["events"]] == [("MODIFIED", "web", "101"), ("MODIFIED", "api", "102")]
    assert (len(snapshot), len(changes)) == (1, 1)
    assert all(event["id"] == "0" for event in changes[0]["events"])


async def test_the_id_of_a_batch_is_the_cursor_of_its_last_event(live: Live, store: Store) -> None:
    async with live.ndjson("resource=deploy&batch=true&output=sse") as stream:
        lines = [await stream.line() for _ in range(5)]

    assert lines[2] == "id: 100"
    assert [event["type"] for event in orjson.loads(lines[3].removeprefix("data: "))["events"]][-1] == "BOOKMARK"


async def test_a_batch_over_a_websocket_is_one_message(live: Live, store: Store) -> None:
    async with live.socket("resource=deploy&batch=true") as socket:
        message: Any = await frame_of(socket)

    assert [event["type"] for event in message["events"]] == ["ADDED", "ADDED", "BOOKMARK"]


# -- latest -------------------------------------------------------------------------------------------


async def test_states_that_were_superseded_are_skipped_for_who_is_behind(world: World, store: Store) -> None:
    subscription = await reader(world, latest=True)
    await heard(subscription)
    for version in range(101, 151):
        store.apply(version, "web" if version % 2 else "api", "blue" if version % 2 else "green", image=f"x:{version}")
    behind = await heard(subscription)
    store.apply(151, "web", "blue", image="x:151")
    live = await heard(subscription)
    subscription.close()

    # Together, because a cursor between them would be one from which states were skipped.
    assert [told(event) for event in behind[0]["events"]] == [("MODIFIED", "web", None), ("MODIFIED", "api", "150")]
    assert [event["object"]["metadata"]["resourceVersion"] for event in behind[0]["events"]] == ["149", "150"]
    assert [told(event) for event in live] == [("MODIFIED", "web", "151")]


async def test_who_skips_states_is_told_rightly_what_came_and_went(world: World, store: Store) -> None:
    store.apply(101, "both", "blue", labels={"app": "web"})
    subscription = await reader(world, latest=True, labelSelector="app=web")
    await heard(subscription)
    store.apply(102, "api", "green", labels={"app": "web"})  # enters, and changes
    store.apply(103, "api", "green", labels={"app": "web"}, image="api:2")
    store.apply(104, "web", "blue", labels={"app": "other"})  # leaves, and is deleted
    store.delete(105, "web", "blue")
    store.apply(106, "short", "blue", labels={"app": "web"})  # was never there
    store.delete(107, "short", "blue")
    store.apply(108, "passing", "blue", labels={"app": "other"})  # passes through
    store.apply(109, "passing", "blue", labels={"app": "web"})
    store.apply(110, "passing", "blue", labels={"app": "other"})
    store.delete(111, "both", "blue", labels={"app": "web"})  # another one of the same name
    store.apply(112, "both", "blue", labels={"app": "web"}, uid="uid-2")
    store.apply(113, "both", "blue", labels={"app": "web"}, uid="uid-2", image="both:2")
    (message,) = await heard(subscription)
    subscription.close()

    assert [told(event)[:2] for event in message["events"]] == [
        ("ADDED", "api"),
        ("DELETED", "web"),
        ("DELETED", "both"),
        ("ADDED", "both"),
    ]
    assert [event.get("resourceVersion") for event in message["events"]] == [None, None, None, "113"]


async def test_who_is_not_behind_skips_nothing(world: World, store: Store) -> None:
    subscription = await reader(world, latest=True)
    await heard(subscription)
    store.apply(101, "web", "blue", image="web:2")
    store.apply(102, "api", "green", image="api:2")
    events = await heard(subscription)
    subscription.close()

    assert [told(event) for event in events] == [("MODIFIED", "web", "101"), ("MODIFIED", "api", "102")]


async def test_even_the_latest_states_come_in_batches_of_bounded_size(store: Store) -> None:
    world = World(settings=Settings(stream_bytes=256 * 1024))
    store = world.mirror()
    store.sync()
    subscription = await reader(world, latest=True)
    await heard(subscription)
    for version in range(101, 301):
        store.apply(version, f"web-{version % 50}", "blue", annotations={"filler": "x" * 5_000})
    sizes, names = [], []
    while len(names) < 50:
        async with asyncio.timeout(5):
            frames = await subscription.next()
        sizes += [len(frame.data) for frame in frames]
        for frame in frames:
            event = orjson.loads(frame.data)
            names += [each["object"]["metadata"]["name"] for each in event.get("events", [event])]
    subscription.close()

    assert max(sizes) < 80_000
    assert set(names) == {f"web-{number}" for number in range(50)}


# -- changes and diff ---------------------------------------------------------------------------------


async def test_only_changes_that_mean_what_is_wanted_are_told_and_what_they_changed(world: World, store: Store) -> None:
    subscription = await reader(world, changes="image,scale")
    await heard(subscription)
    deployment(store, 101)
    deployment(store, 102, ready=1)
    deployment(store, 103, image="web:2", ready=1)
    deployment(store, 104, image="web:2", ready=1, labels={"app": "x"})
    deployment(store, 105, image="web:2", replicas=3, ready=1)
    store.apply(106, "new", "blue")
    store.delete(107, "new", "blue")
    events = await heard(subscription)
    store.bookmark(200)
    subscription.close()

    assert [(*told(event), event.get("changed")) for event in events] == [
        ("MODIFIED", "web", "101", ["image", "scale", "spec", "rollout", "condition"]),
        ("MODIFIED", "web", "103", ["image", "spec"]),
        ("MODIFIED", "web", "105", ["scale", "spec", "meta"]),
        ("ADDED", "new", "106", None),
        ("DELETED", "new", "107", None),
    ]


async def test_a_difference_carries_old_and_new_value_of_each_path(world: World, store: Store) -> None:
    deployment(store, 101)
    subscription = await reader(world, **{"as": "diff"})
    snapshot = await heard(subscription)
    deployment(store, 102, image="web:2", labels={})
    (event,) = await heard(subscription)
    store.delete(103, "web", "blue")
    (gone,) = await heard(subscription)
    subscription.close()

    assert snapshot[0]["object"]["spec"]["replicas"] == 1  # a difference needs something to differ from
    assert event["object"] == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"namespace": "blue", "name": "web", "uid": "uid-blue-web", "resourceVersion": "102"},
    }
    assert event["changed"] == ["image", "spec", "meta"]
    assert event["diff"] == [
        {"path": ".metadata.labels.app", "old": "web"},
        {"path": '.spec.template.spec.containers[name="web"].image', "old": "web:1", "new": "web:2"},
        {"path": ".status.heartbeat", "old": 101, "new": 102},
    ]
    assert gone["object"].keys() == event["object"].keys()
    assert "diff" not in gone


async def test_a_difference_over_skipped_states_is_from_what_the_reader_had(world: World, store: Store) -> None:
    deployment(store, 101)
    subscription = await reader(world, latest=True, changes=["image"], **{"as": "diff"})
    await heard(subscription)
    deployment(store, 102, image="web:2")
    deployment(store, 103, image="web:3", ready=1)
    (message,) = await heard(subscription)
    subscription.close()

    (event,) = message["events"]
    assert event["diff"][0] == {
        "path": '.spec.template.spec.containers[name="web"].image',
        "old": "web:1",
        "new": "web:3",
    }


async def test_a_kind_of_change_that_is_none_is_refused(world: World, store: Store) -> None:
    with pytest.raises(StatusError, match='parameter "changes"') as refused:
        await reader(world, changes="image,colour")

    assert refused.value.code == 400


# -- what is too late ---------------------------------------------------------------------------------


async def test_too_late_a_reader_begins_anew_where_it_asked_for_that(world: World, store: Store) -> None:
    store.apply(101, "web", "blue", image="web:2")
    store.writer.compact(101)
    subscription = await reader(world, resourceVersion="50", onExpired="snapshot")
    frames = await heard(subscription)
    subscription.close()

    assert (frames[0]["type"], frames[0]["object"]["code"], frames[0]["resource"]) == ("RESET", 410, "deployments.apps")
    assert [told(frame) for frame in frames[1:]] == [
        ("ADDED", "web", None),
        ("ADDED", "api", None),
        ("BOOKMARK", None, "101"),
    ]


async def test_whoever_names_what_it_holds_is_told_what_vanished(world: World, store: Store) -> None:
    store.delete(101, "web", "blue")
    store.apply(102, "again", "blue", uid="uid-2")
    store.writer.compact(102)
    subscription = await reader(
        world,
        resourceVersion="50",
        onExpired="snapshot",
        holds="blue/web,green/api@uid-green-api,blue/again@uid-1,gone/long",
    )
    frames = await heard(subscription)
    subscription.close()

    assert [told(frame) for frame in frames] == [
        ("DELETED", "web", None),
        ("DELETED", "again", None),
        ("DELETED", "long", None),
        ("ADDED", "again", None),
        ("MODIFIED", "api", None),
        ("BOOKMARK", None, "102"),
    ]
    assert frames[1]["object"] == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"namespace": "blue", "name": "again", "uid": "uid-1"},
    }


async def test_what_has_left_the_selection_meanwhile_has_vanished_too(world: World, store: Store) -> None:
    subscription = await reader(world, labelSelector="app=web", holds=["blue/web", "green/api"])
    frames = await heard(subscription)
    subscription.close()

    assert [told(frame)[:2] for frame in frames] == [("DELETED", "api"), ("MODIFIED", "web"), ("BOOKMARK", None)]


async def test_who_can_resume_is_told_no_snapshot_whatever_it_holds(world: World, store: Store) -> None:
    store.apply(101, "web", "blue", image="web:2")
    subscription = await reader(world, resourceVersion="100", onExpired="snapshot", holds="blue/web,blue/gone")
    frames = [*await heard(subscription), *await heard(subscription)]
    subscription.close()

    assert [told(frame) for frame in frames] == [
        ("BOOKMARK", None, "100"),
        ("MODIFIED", "web", "101"),
        ("BOOKMARK", None, "101"),
    ]


@pytest.mark.parametrize(
    ("resources", "holds", "said"),
    [
        (["deploy"], "web", "namespace/name"),
        (["deploy"], "a/b/c", "namespace/name"),
        (["nodes"], "blue/web", "the name alone"),
        (["deploy", "nodes"], "pods/blue/web", "write one of deployments.apps, nodes first"),
    ],
)
async def test_what_is_no_name_of_an_object_is_refused(
    world: World, store: Store, resources: list[str], holds: str, said: str
) -> None:
    world.mirror(NODES).sync()
    with pytest.raises(StatusError, match=said) as refused:
        await reader(world, resource=resources, holds=holds)

    assert refused.value.code == 400


async def test_objects_of_several_resources_are_named_with_theirs(world: World, store: Store) -> None:
    nodes = world.mirror(NODES)
    nodes.sync(nodes.object(5, "node-1", ""))
    subscription = await reader(
        world, resource=["deploy", "nodes"], holds="nodes/gone,deployments.apps/blue/web,nodes/node-1"
    )
    frames = await heard(subscription)
    subscription.close()

    assert [told(frame)[:2] for frame in frames if frame["type"] != "BOOKMARK"] == [
        ("MODIFIED", "web"),
        ("ADDED", "api"),
        ("DELETED", "gone"),
        ("MODIFIED", "node-1"),
    ]


async def test_a_live_reader_that_fell_behind_begins_anew_and_goes_on(world: World, store: Store) -> None:
    subscription = await reader(world, onExpired="snapshot")
    await heard(subscription)
    store.apply(101, "web", "blue", image="web:2")
    store.delete(102, "api", "green")
    store.writer.compact(102)
    anew = await heard(subscription)
    store.apply(103, "web", "blue", image="web:3")
    after = await heard(subscription)
    subscription.close()

    assert [frame["type"] for frame in anew] == ["RESET", "ADDED", "BOOKMARK"]
    assert told(anew[-1]) == ("BOOKMARK", None, "102")
    assert [told(frame) for frame in after] == [("MODIFIED", "web", "103")]


async def test_when_time_goes_back_a_reader_begins_anew(world: World, store: Store) -> None:
    subscription = await reader(world, onExpired="snapshot")
    await heard(subscription)
    store.relist(store.object(5, "web", "blue"), resource_version=60, rollback=True)
    anew = await heard(subscription)
    subscription.close()

    assert [frame["type"] for frame in anew] == ["RESET", "ADDED", "BOOKMARK"]
    assert anew[-1]["resourceVersion"] == "60"


async def test_a_browser_forgets_its_id_with_a_reset(live: Live, store: Store) -> None:
    store.apply(101, "web", "blue")
    store.writer.compact(101)
    headers = {"accept": "text/event-stream", "last-event-id": "50"}
    async with live.ndjson("resource=deploy&onExpired=snapshot", **headers) as stream:
        lines = [await stream.line() for _ in range(5)]

    assert lines[2] == "id:"
    assert orjson.loads(lines[3].removeprefix("data: "))["type"] == "RESET"


async def test_a_snapshot_that_nobody_takes_is_ended_when_the_journal_has_moved_on(world: World, store: Store) -> None:
    objects = [store.object(200 + n, f"web-{n}", "blue", annotations={"f": "x" * 200}) for n in range(5_000)]
    store.relist(*objects, resource_version=6_000)
    subscription = await reader(world)
    first = await heard(subscription)
    store.apply(6_001, "web-1", "blue")
    store.writer.compact(6_001)
    frames: list[Any] = []
    while not frames or frames[-1]["type"] == "ADDED":
        frames = await heard(subscription)
    subscription.close()

    assert first[0]["type"] == "ADDED"
    assert (frames[-1]["type"], frames[-1]["object"]["code"]) == ("ERROR", 410)


# -- relists and replicas -----------------------------------------------------------------------------


async def test_the_cursor_passes_a_relist_in_one_step_when_all_of_it_was_told(world: World, store: Store) -> None:
    """At another mirror, which saw what happened meanwhile, an RV in between would leave some of it out."""
    subscription = await reader(world)
    await heard(subscription)
    store.relist(store.object(150, "web", "blue", image="web:9"), resource_version=200)
    frames = await heard(subscription)
    again = await reader(world, resourceVersion=frames[-1]["resourceVersion"])
    resumed = await heard(again)
    subscription.close()
    again.close()

    assert [told(frame) for frame in frames] == [
        ("DELETED", "api", "100~200"),
        ("MODIFIED", "web", "100~200"),
        ("BOOKMARK", None, "200"),
    ]
    assert [told(frame) for frame in resumed] == [("BOOKMARK", None, "200")]


async def test_within_what_a_relist_told_a_reader_goes_on_only_where_that_is_known(world: World, store: Store) -> None:
    """What came and went while this mirror listed again, another may have told as having come."""
    store.relist(store.object(150, "new", "blue"), resource_version=200)
    same = await reader(world, resourceVersion="100~200")
    assert [told(frame)[0] for frame in await heard(same)] == ["BOOKMARK"]
    again = [told(frame)[:2] for frame in await heard(same)]
    for cursor in ("100~190", "90~200", "200~210"):
        with pytest.raises(ExpiredError):
            await reader(world, resourceVersion=cursor)
    anew = [told(frame) for frame in await heard(await reader(world, resourceVersion="100~190", onExpired="snapshot"))]

    assert again == [("DELETED", "web"), ("DELETED", "api"), ("ADDED", "new"), ("BOOKMARK", None)]
    assert [each[:2] for each in anew] == [("RESET", None), ("ADDED", "new"), ("BOOKMARK", None)]


async def test_a_replica_that_is_behind_such_a_reader_shows_it_nothing_older() -> None:
    world = World(settings=Settings(freshness_seconds=0.05))
    store = world.mirror()
    store.sync(resource_version=160)
    with pytest.raises(TooLargeResourceVersionError):
        await reader(world, resourceVersion="100~190", onExpired="snapshot")
    store.bookmark(190)
    snapshot = await heard(await reader(world, resourceVersion="100~190", onExpired="snapshot"))

    assert [told(frame) for frame in snapshot] == [("RESET", None, None), ("BOOKMARK", None, "190")]


@pytest.mark.looptime
async def test_a_snapshot_is_not_older_than_the_cursor_it_is_asked_with() -> None:
    loop = asyncio.get_running_loop()
    world = World(clock=lambda: 1000.0 + loop.time())
    store = world.mirror()
    store.sync(store.object(7, "web", "blue"))
    loop.call_later(2, lambda: store.apply(150, "web", "blue", image="web:2"))
    subscription = await reader(world, resourceVersion="150", snapshot=True)
    waited = loop.time()
    frames = await heard(subscription)
    subscription.close()

    assert waited == pytest.approx(2)
    assert [told(frame) for frame in frames] == [("ADDED", "web", None), ("BOOKMARK", None, "150")]


def ends(frame: Any) -> bool:
    """Whether it says that the reader has been told all that there was."""
    return "k8s.io/initial-events-end" in frame["object"]["metadata"].get("annotations", {})


async def test_who_resumes_is_told_when_it_has_heard_what_it_missed(world: World, store: Store) -> None:
    store.apply(101, "web", "blue", image="web:2")
    subscription = await reader(world, resourceVersion="100")
    opened, missed = await heard(subscription), await heard(subscription)
    store.apply(102, "web", "blue", image="web:3")
    later = await heard(subscription)
    subscription.close()
    nothing = await reader(world, resourceVersion="102")
    (up_to_date,) = await heard(nothing)
    nothing.close()

    assert [(told(frame), ends(frame)) for frame in [*opened, *missed, *later]] == [
        (("BOOKMARK", None, "100"), False),
        (("MODIFIED", "web", "101"), False),
        (("BOOKMARK", None, "101"), True),
        (("MODIFIED", "web", "102"), False),
    ]
    assert ends(up_to_date)


@pytest.mark.looptime
async def test_a_replica_that_is_behind_says_so_until_it_is_not() -> None:
    loop = asyncio.get_running_loop()
    world = World(clock=lambda: 1000.0 + loop.time())
    world.upstream.newest = 150
    store = world.mirror()
    store.sync()
    subscription = await reader(world, resourceVersion="150")
    behind = [*await heard(subscription)]
    async with asyncio.timeout(20):
        behind += [orjson.loads(frame.data) for frame in await subscription.next()]
    store.bookmark(150)
    async with asyncio.timeout(20):
        (caught_up,) = [orjson.loads(frame.data) for frame in await subscription.next()]
    subscription.close()

    assert [(told(frame), frame.get("behind"), ends(frame)) for frame in [*behind, caught_up]] == [
        (("BOOKMARK", None, "150"), True, False),
        (("BOOKMARK", None, "150"), True, False),
        (("BOOKMARK", None, "150"), None, True),
    ]


@pytest.mark.looptime
async def test_an_upstream_that_answers_nothing_makes_a_504_no_later(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    world = World(clock=lambda: 1000.0 + loop.time())
    world.mirror().sync()

    async def never(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(world.upstream, "horizon", never)
    with pytest.raises(TooLargeResourceVersionError):
        await reader(world, resourceVersion="150", snapshot=True)

    assert loop.time() == pytest.approx(3)


@pytest.mark.looptime
async def test_a_replica_that_stays_behind_says_504_after_three_seconds() -> None:
    loop = asyncio.get_running_loop()
    world = World(clock=lambda: 1000.0 + loop.time())
    store = world.mirror()
    store.sync()
    with pytest.raises(TooLargeResourceVersionError):
        await reader(world, resourceVersion="150", snapshot=True)

    assert loop.time() == pytest.approx(3)
    assert store.reader.journal.positions == 0


async def test_who_comes_from_a_replica_ahead_hears_the_deletions_of_a_relist_that_begins_just_there(
    world: World, store: Store
) -> None:
    subscription = await reader(world, resourceVersion="101")
    await heard(subscription)
    store.apply(101, "web", "blue", image="web:2")
    store.relist(store.object(101, "web", "blue", image="web:2"), resource_version=200)
    frames = [*await heard(subscription)]
    subscription.close()

    assert [told(frame) for frame in frames] == [("DELETED", "api", "101~200"), ("BOOKMARK", None, "200")]


async def test_who_resumes_and_skips_states_is_still_told_of_what_came_and_went(world: World, store: Store) -> None:
    """It may have heard of it already, from another mirror that told the outcome of a relist before it was cut off."""
    store.apply(101, "short", "blue")
    store.delete(102, "short", "blue")
    subscription = await reader(world, resourceVersion="100", latest=True)
    (opened,) = await heard(subscription)
    message, end = await heard(subscription)
    subscription.close()

    assert (told(opened), told(end)) == (("BOOKMARK", None, "100"), ("BOOKMARK", None, "102"))
    assert [told(event) for event in message["events"]] == [("ADDED", "short", None), ("DELETED", "short", "102")]


async def test_a_snapshot_from_before_a_relist_has_the_cursor_from_before_it(world: World, store: Store) -> None:
    subscription = await reader(world, labelSelector="app=web")
    store.relist(
        store.object(140, "api", "green", labels={"app": "api"}, image="api:2"),
        store.object(150, "web", "blue", labels={"app": "web"}, image="web:2"),
        resource_version=200,
    )
    snapshot = await heard(subscription)
    changes = await heard(subscription)
    subscription.close()

    assert [told(frame) for frame in snapshot] == [("ADDED", "web", None), ("BOOKMARK", None, "100")]
    assert [told(frame) for frame in changes] == [("MODIFIED", "web", "100~200"), ("BOOKMARK", None, "200")]
