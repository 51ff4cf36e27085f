"""The history tells what changed in meaning, object by object, and what it did not see."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kubemirror.state.history import (
    MOST_PENDING,
    MOST_PER_OBJECT,
    TOGETHER_SECONDS,
    Entry,
    History,
    ObjectKey,
)
from kubemirror.state.objects import Ingest, Object
from kubemirror.state.store import Writer
from tests.state.building import Clock, applied, deleted, listed

KEY = ObjectKey("deployments.apps", "ns", "web")
MIB = 1024 * 1024
INGEST = Ingest(api_version="apps/v1", kind="Deployment")


def made(resource_version: int, *, name: str = "web", uid: str = "", **changes: Any) -> Object:
    """A Deployment; image, env, replicas, strategy, ready, labels and available say what differs."""
    manager = {"manager": changes.pop("by", "helm"), "operation": "Update", "time": "2026-01-02T03:04:05Z"}
    container = {"name": "web", "image": changes.pop("image", "team/web:1"), "env": changes.pop("env", [])}
    available = changes.pop("available", ("True", "MinimumReplicasAvailable"))
    body = {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": uid or f"uid-{name}",
            "resourceVersion": str(resource_version),
            "managedFields": [manager],
            "labels": changes.pop("labels", {}),
        },
        "spec": {
            "replicas": changes.pop("replicas", 3),
            "strategy": {"type": changes.pop("strategy", "RollingUpdate")},
            "template": {"spec": {"containers": [container]}},
        },
        "status": {
            "readyReplicas": changes.pop("ready", 3),
            "conditions": [{"type": "Available", "status": available[0], "reason": available[1]}],
        },
    }
    assert not changes
    return INGEST.object(json.dumps(body).encode())


class Scene:
    """A store that a history follows."""

    def __init__(self, budget: int = MIB) -> None:
        self.clock = Clock()
        self.writer = Writer(clock=self.clock)
        self.history = History(budget)
        self.leave = self.history.follow("deployments.apps", self.writer.reader)
        self._version = 10

    def begin(self, *objects: Object) -> None:
        listed(self.writer, 10, *(objects or (made(9),)))

    def change(self, *, later: float = 60.0, **changes: Any) -> None:
        self._version += 1
        self.clock.now += later
        applied(self.writer, made(self._version, **changes))

    def change_to(self, state: Object, *, later: float = 60.0) -> None:
        self.clock.now += later
        applied(self.writer, state)

    @property
    def entries(self) -> tuple[Entry, ...]:
        return self.history.of(KEY).entries


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.begin()
    return scene


def details(entry: Entry) -> list[tuple[str, str | None, str | None]]:
    return [(each.label, each.old, each.new) for each in entry.details]


def test_the_first_list_is_no_change_and_the_history_begins_with_it(scene: Scene) -> None:
    told = scene.history.of(KEY)

    assert (told.entries, told.stretches, told.began) == ((), (), 1000.0)
    assert scene.history.pending == 0


@pytest.mark.parametrize(
    ("changes", "meanings", "said"),
    [
        ({"image": "team/web:2"}, ["image", "spec"], [("container web: image", "team/web:1", "team/web:2")]),
        ({"replicas": 5}, ["scale", "spec"], [("replicas", "3", "5")]),
        ({"strategy": "Recreate"}, ["spec"], [("strategy.type", "RollingUpdate", "Recreate")]),
        ({"ready": 1}, ["rollout"], [("readyReplicas", "3", "1")]),
        ({"labels": {"app": "web"}}, ["meta"], [("label app", None, "web")]),
        (
            {"available": ("False", "Gone")},
            ["condition"],
            [("Available", "True", "False"), ("Available: reason", "MinimumReplicasAvailable", "Gone")],
        ),
    ],
)
def test_a_change_is_told_under_the_names_that_push_has_for_it(
    scene: Scene, changes: dict[str, Any], meanings: list[str], said: list[tuple[str, str, str]]
) -> None:
    scene.change(by="argocd", **changes)
    (entry,) = scene.entries

    assert [each.value for each in entry.meanings] == meanings
    assert details(entry) == said
    assert (entry.at, entry.manager, entry.unwatched) == (1060.0, "argocd", False)


def test_of_env_only_the_names_are_told(scene: Scene) -> None:
    scene.change(env=[{"name": "PASSWORD", "value": "hunter2"}])
    scene.change(env=[{"name": "PASSWORD", "value": "hunter3"}])

    assert [details(each) for each in scene.entries] == [[("container web: env PASSWORD", None, None)]] * 2
    assert "hunter" not in repr(scene.entries)


def test_what_means_nothing_is_not_remembered(scene: Scene) -> None:
    scene.change()

    assert scene.entries == ()


def test_the_steps_of_a_rollout_are_one_entry_and_what_stands_between_them_parts_them(scene: Scene) -> None:
    for ready in (0, 1, 2):
        scene.change(later=1.0, ready=ready)
    scene.change(later=1.0, ready=2, replicas=4)
    scene.change(later=1.0, ready=4, replicas=4)
    scene.change(later=TOGETHER_SECONDS + 1, ready=3, replicas=4)

    assert [(details(each), each.steps) for each in scene.entries] == [
        ([("readyReplicas", "4", "3")], 1),
        ([("readyReplicas", "2", "4")], 1),
        ([("replicas", "3", "4")], 1),
        ([("readyReplicas", "3", "2")], 3),
    ]


AT, LATER = "2026-01-02T03:04:05Z", "2026-01-02T03:04:09Z"
Entries = list[tuple[str, str, str | None]]


def written(entries: Entries, resource_version: int, **changes: Any) -> Object:
    """One that has these managedFields: manager, subresource, time."""
    body = json.loads(made(resource_version, **changes).raw)
    body["metadata"]["managedFields"] = [
        {"manager": name, "operation": "Update"}
        | ({"subresource": subresource} if subresource else {})
        | ({"time": time} if time else {})
        for name, subresource, time in entries
    ]
    return INGEST.object(json.dumps(body).encode())


CREATED: Entries = [("create", "", AT)]
AT_ONCE: Entries = [*CREATED, ("controller", "status", AT)]
RUNNING: Entries = [("create", "", AT), ("controller", "status", LATER)]
SCALED: Entries = [("kubectl", "scale", None), *RUNNING]


@pytest.mark.parametrize(
    ("before", "after", "changes", "writer"),
    [
        (RUNNING, SCALED, {"replicas": 7}, "kubectl"),  # entries of this subresource have no time
        (SCALED, SCALED, {"replicas": 7}, "kubectl"),
        (SCALED, [("edit", "", LATER), *RUNNING], {"replicas": 7}, "edit"),
        (CREATED, AT_ONCE, {"labels": {"a": "b"}, "ready": 1}, "controller"),
        (AT_ONCE, AT_ONCE, {"ready": 1}, "controller"),
        (AT_ONCE, AT_ONCE, {"image": "b"}, "create"),
        (SCALED, [*SCALED[:2], ("controller", "status", "2026-01-02T03:05:00Z")], {"ready": 1}, "controller"),
        (CREATED, [("apply", "", LATER), *CREATED], {"strategy": "Recreate"}, "apply"),
    ],
)
def test_the_writer_is_the_manager_whose_entry_moved(
    before: Entries, after: Entries, changes: dict[str, Any], writer: str
) -> None:
    scene = Scene()
    scene.begin(written(before, 9))
    applied(scene.writer, written(after, 11, **changes))
    (entry,) = scene.entries

    assert entry.manager == writer


def test_who_only_removes_is_written_down_nowhere_and_not_guessed() -> None:
    scene = Scene()
    scene.begin(written(RUNNING, 9, labels={"team": "shop"}))
    applied(scene.writer, written(RUNNING, 11))
    (entry,) = scene.entries

    assert (details(entry), entry.manager) == ([("label team", "shop", None)], "")


def test_who_created_an_object_is_told_though_its_status_is_newer() -> None:
    scene = Scene()
    applied(scene.writer, written(RUNNING, 11))

    assert [each.manager for each in scene.entries] == ["create"]


CONDITION = {"type": "Available", "status": "False", "reason": "MinimumReplicasUnavailable"}


def bare(resource_version: int, status: dict[str, Any], **metadata: Any) -> Object:
    """One of which only these are known."""
    identity = {"name": "web", "namespace": "ns", "uid": "uid-web", "resourceVersion": str(resource_version)}
    body = {"metadata": {**identity, **metadata}, **({"status": status} if status else {})}
    return INGEST.object(json.dumps(body).encode())


def test_what_controllers_first_say_of_an_object_is_told_with_its_creation() -> None:
    scene = Scene()
    revision = {"annotations": {"deployment.kubernetes.io/revision": "1"}}
    ready = {**CONDITION, "status": "True", "reason": "MinimumReplicasAvailable"}
    steps: list[dict[str, Any]] = [
        {},
        {"conditions": [CONDITION]},
        {"conditions": [CONDITION], "replicas": 1},
        {"conditions": [ready], "replicas": 1},
    ]
    for version, status in enumerate(steps, start=11):
        scene.clock.now += 1
        applied(scene.writer, bare(version, status, **(revision if status else {})))
    (entry,) = scene.entries

    assert (str(entry.type), entry.meanings, entry.steps, entry.until - entry.at) == ("ADDED", (), 4, 3.0)
    assert details(entry) == [
        ("Available", None, "True (MinimumReplicasAvailable)"),
        ("annotation deployment.kubernetes.io/revision", None, "1"),
        ("replicas", None, "1"),
    ]


def test_what_somebody_does_to_a_new_object_stands_beside_its_creation() -> None:
    scene = Scene()
    for version, replicas in ((11, 3), (12, 4)):
        applied(scene.writer, made(version, replicas=replicas))

    assert [str(each.type) for each in scene.entries] == ["MODIFIED", "ADDED"]


def test_what_comes_as_a_whole_is_told_part_by_part() -> None:
    scene = Scene()
    scene.begin(bare(9, {}))
    scene.change_to(bare(11, {"phase": "Ready", "conditions": [CONDITION]}, labels={"a": "b"}))
    scene.change_to(bare(12, {}))
    gone, came = scene.entries

    assert details(came) == [
        ("phase", None, "Ready"),
        ("Available", None, "False (MinimumReplicasUnavailable)"),
        ("label a", None, "b"),
    ]
    assert details(gone) == [(label, new, old) for label, old, new in details(came)]


def test_an_object_that_comes_and_goes_is_told_even_when_it_is_gone(scene: Scene) -> None:
    deleted(scene.writer, made(11))
    applied(scene.writer, made(12, uid="another"))

    assert [str(each.type) for each in scene.entries] == ["ADDED", "DELETED"]


def test_what_was_not_watched_is_a_stretch_and_its_outcome_is_marked(scene: Scene) -> None:
    scene.clock.now += 30
    listed(scene.writer, 50, made(20, image="team/web:2"))
    told = scene.history.of(KEY)

    assert [(each.since, each.until, each.skipped) for each in told.stretches] == [(1000.0, 1030.0, False)]
    assert [each.unwatched for each in told.entries] == [True]


def test_a_store_that_takes_anothers_place_leaves_a_stretch_between_them(scene: Scene) -> None:
    scene.clock.now += 5
    scene.leave()
    other = Writer(clock=scene.clock)
    scene.history.follow("deployments.apps", other.reader)
    scene.clock.now += 5
    listed(other, 60, made(60))

    assert [(each.since, each.until) for each in scene.history.of(KEY).stretches] == [(1000.0, 1010.0)]


def test_of_each_object_the_newest_fifty_are_kept_steps_of_rollouts_going_first(scene: Scene) -> None:
    scene.change(image="team/web:2")
    for number in range(MOST_PER_OBJECT + 4):
        scene.change(image="team/web:2", ready=number % 2)
    told = scene.history.of(KEY)

    assert len(told.entries) == MOST_PER_OBJECT
    assert "image" in told.entries[-1].meanings
    assert told.forgotten == 5


def test_all_objects_share_one_budget_and_the_oldest_go_first() -> None:
    scene = Scene(budget=5_000)
    scene.begin(made(8, name="old"), made(9))
    applied(scene.writer, made(11, name="old", replicas=9))
    for number in range(20):
        scene.change(image=f"team/web:{number}")
    while scene.history.settle():
        pass

    assert scene.history.of(ObjectKey("deployments.apps", "ns", "old")).entries == ()
    told = scene.history.of(KEY)
    assert told.forgotten + len(told.entries) == 20
    assert sum(each.size for each in told.entries) == scene.history.size <= 5_000


def test_a_value_of_a_megabyte_is_told_in_a_line(scene: Scene) -> None:
    scene.change(labels={"x": "y" * MIB})

    assert scene.history.size < 2_000


def test_changes_that_come_too_fast_are_a_stretch_too(scene: Scene) -> None:
    for number in range(MOST_PENDING + 3):
        scene.change(later=0.0, replicas=number)
    (stretch,) = scene.history.of(KEY).stretches

    assert (stretch.skipped, scene.history.skipped) == (True, 3)


def test_the_newest_of_all_objects_come_first(scene: Scene) -> None:
    scene.change(image="team/web:2")
    scene.change(name="other", replicas=1)
    while scene.history.settle(10):
        pass

    assert [key.name for key, _ in scene.history.recent(0.0)] == ["other", "web"]
    assert scene.history.recent(scene.clock.now + 1) == []


def test_a_heartbeat_kind_is_not_remembered_at_all() -> None:
    scene = Scene()
    scene.history.follow("events", scene.writer.reader)
    scene.begin()
    scene.change(image="team/web:2")

    assert scene.history.of(ObjectKey("events", "ns", "web")).entries == ()
