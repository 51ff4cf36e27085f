"""How many pods each ReplicaSet of a Deployment should have: surge, availability, proportional scaling.

kubernetes pkg/controller/deployment/util/deployment_util.go and replicaset_util.go.
"""

from __future__ import annotations

from math import ceil, floor
from typing import Any

Fields = dict[str, Any]

DESIRED = "deployment.kubernetes.io/desired-replicas"
MOST = "deployment.kubernetes.io/max-replicas"


def recreates(spec: Fields) -> bool:
    kind: str = spec["strategy"]["type"]
    return kind == "Recreate"


def surge(spec: Fields) -> int:
    """Pods beyond the desired ones during a rollout."""
    return _share(spec, "maxSurge", up=True)


def unavailable(spec: Fields) -> int:
    """Pods that may be missing during a rollout; one at least where there is no surge, or nothing would ever move."""
    wanted: int = spec["replicas"]
    share = _share(spec, "maxUnavailable", up=False)
    if not recreates(spec) and share == 0 and surge(spec) == 0:
        return 1
    return min(share, wanted)


def annotations_of(spec: Fields) -> dict[str, str]:
    """What each ReplicaSet notes of its Deployment's size: by it a scaling is told from a rollout."""
    return {DESIRED: str(spec["replicas"]), MOST: str(spec["replicas"] + surge(spec))}


def size(replica_set: Fields) -> int:
    replicas: int = replica_set["spec"]["replicas"]
    return replicas


def available(replica_set: Fields) -> int:
    replicas: int = (replica_set.get("status") or {}).get("availableReplicas", 0)
    return replicas


def grown(spec: Fields, sets: list[Fields], new: Fields) -> int:
    """What a rollout lets the new ReplicaSet have now, the others being as they are."""
    wanted: int = spec["replicas"]
    if recreates(spec):
        return wanted
    room = wanted + surge(spec) - sum(map(size, sets))
    return size(new) if room <= 0 else size(new) + min(room, wanted - size(new))


def shrunk(spec: Fields, old: list[Fields], new: Fields) -> dict[str, int]:
    """The sizes that a rollout leaves the old ReplicaSets (the oldest first), by name: unhealthy pods go first."""
    sizes = {each["metadata"]["name"]: size(each) for each in old}
    least = spec["replicas"] - unavailable(spec)
    spare = sum(sizes.values()) + size(new) - least - (size(new) - available(new))
    if spare <= 0:
        return sizes
    for each in old:
        name = each["metadata"]["name"]
        unhealthy = min(max(sizes[name] - available(each), 0), spare)
        sizes[name] -= unhealthy
        spare -= unhealthy
    spare = sum(map(available, old)) + available(new) - least
    for each in old:
        name = each["metadata"]["name"]
        down = min(sizes[name], max(spare, 0))
        sizes[name] -= down
        spare -= down
    return sizes


def shared_out(spec: Fields, status: Fields, active: list[Fields]) -> dict[str, int]:
    """Sizes by name where a Deployment is scaled amid a rollout: each in proportion, what is left to the largest."""
    sizes = {each["metadata"]["name"]: size(each) for each in active}
    most = spec["replicas"] + surge(spec) if spec["replicas"] else 0
    add = most - sum(sizes.values())
    if not add or not active:
        return sizes
    by_size = sorted(active, key=lambda each: each["metadata"]["creationTimestamp"], reverse=add > 0)
    by_size.sort(key=size, reverse=True)
    added = 0
    for each in by_size:
        left = add - added
        share = _fraction(spec, status, each)
        share = min(share, left) if add > 0 else max(share, left)
        sizes[each["metadata"]["name"]] += share
        added += share
    largest = by_size[0]["metadata"]["name"]
    sizes[largest] = max(sizes[largest] + add - added, 0)
    return sizes


def _fraction(spec: Fields, status: Fields, replica_set: Fields) -> int:
    if not spec["replicas"]:
        return -size(replica_set)
    noted = (replica_set["metadata"].get("annotations") or {}).get(MOST)
    before: int = int(noted) if noted else status.get("replicas", 0)
    if not before:
        return 0
    most: int = spec["replicas"] + surge(spec)
    return floor(size(replica_set) * most / before + 0.5) - size(replica_set)


def _share(spec: Fields, field: str, *, up: bool) -> int:
    rolling = spec["strategy"].get("rollingUpdate")
    if recreates(spec) or not rolling:
        return 0
    value = rolling.get(field, "25%")
    if isinstance(value, int):
        return int(value)
    share: float = spec["replicas"] * int(value.rstrip("%")) / 100
    return ceil(share) if up else floor(share)
