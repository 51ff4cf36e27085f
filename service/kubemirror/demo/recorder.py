"""Writes Events as client-go's recorder does: a repeated one counts up instead of being written again."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from kubemirror.demo.cluster import Cluster, Options
from kubemirror.demo.kinds import EVENTS
from kubemirror.demo.refusal import Refusal

Fields = dict[str, Any]

# Kept at most; the API server forgets events after an hour, a demo that runs for days should not grow.
MOST_EVENTS = 500


class Recorder:
    """Events of one component (``kubelet``, ``deployment-controller``)."""

    def __init__(self, cluster: Cluster, component: str) -> None:
        self._cluster = cluster
        self._component = component
        self._options = Options(manager=component)

    def record(self, about: Fields, reason: str, message: str, *, warning: bool = False) -> None:
        """about: the object, with apiVersion, kind and metadata. Nothing is written for one that is going away."""
        metadata = about["metadata"]
        namespace = metadata.get("namespace", "default")
        cluster = self._cluster
        now = cluster.now()
        type_ = "Warning" if warning else "Normal"
        identity = "/".join((metadata["uid"], reason, message, self._component))
        name = f"{metadata['name']}.{blake2b(identity.encode(), digest_size=8).hexdigest()}"
        held = cluster.find(EVENTS, name, namespace)
        try:
            if held is not None:
                patch = {"count": held.get("count", 1) + 1, "lastTimestamp": now}
                cluster.patch(EVENTS, name, patch, namespace, options=self._options)
                return
            event = {
                "metadata": {"name": name},
                "involvedObject": {
                    "kind": about["kind"],
                    "namespace": namespace,
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "apiVersion": about["apiVersion"],
                    "resourceVersion": metadata["resourceVersion"],
                },
                "reason": reason,
                "message": message,
                "source": {"component": self._component},
                "firstTimestamp": now,
                "lastTimestamp": now,
                "count": 1,
                "type": type_,
                "eventTime": None,
                "reportingComponent": self._component,
                "reportingInstance": "",
            }
            cluster.create(EVENTS, event, namespace, options=self._options)
        except Refusal as refusal:
            if refusal.code not in (403, 404):  # its namespace is being deleted, or is gone
                raise


def forget_old_events(cluster: Cluster, most: int = MOST_EVENTS) -> None:
    """Delete the oldest events beyond ``most``."""
    reader = cluster.shelf(EVENTS).reader
    beyond = len(reader) - most
    if beyond > 0:
        oldest = sorted(reader.snapshot().objects, key=lambda held: held.resource_version)[:beyond]
        cluster.delete_collection(EVENTS, [held.key for held in oldest])
