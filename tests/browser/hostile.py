"""A cluster whose every field wants to be more than data."""

from __future__ import annotations

import json
from typing import Any

from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.events import Columns
from tests.serve.world import DEPLOYMENTS, WIDGETS, Store, World

# Where text becomes markup, an attribute, a script, an address, a template, or the other direction of a line.
EVIL = (
    "\"'></td></script><script>hacked=1</script><img src=x onerror=hacked=2><svg/onload=hacked=3>"
    "<a href=javascript:hacked=4>x</a><!--<style>*{color:red}</style>{{7*7}}{%x%}\u202egnp.exe\u2066\x1b[2J\x00\r\n&lt;"
)
ADDRESS = "javascript:hacked=5"
LONG = "x" * 1_000_000
NAME = "web"  # names are checked by every API server; what is odd and allowed is "odd.name-1"
ODD = "odd.name-1"

PODS = Resource("", "v1", "pods", "pod", "Pod", True, (ServedVersion("v1"),))
REPLICA_SETS = Resource("apps", "v1", "replicasets", "replicaset", "ReplicaSet", True, (ServedVersion("v1"),))
EVENTS = Resource("", "v1", "events", "event", "Event", True, (ServedVersion("v1"),))
CRDS = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "customresourcedefinition",
    "CustomResourceDefinition", False, (ServedVersion("v1"),), short_names=("crds",),
)  # fmt: skip

PAGES = (
    "/",
    "/versions",
    "/resources/deployments",
    "/resources/deployments?columns=Name,labels.evil,.metadata.annotations.link,.spec.template.spec.containers[0].image",
    "/resources/deployments/blue/web",
    f"/resources/deployments/blue/{ODD}",
    "/resources/pods",
    "/resources/pods/blue/web",
    "/resources/events",
    "/resources/crds",
    "/resources/crds/widgets.example.com",
    "/resources/widgets",
    "/resources/widgets/blue/web",
    "/resources/deployments?q=%22%3E%3Cscript%3Ehacked%3D1%3C%2Fscript%3E",
    "/embed/resources/deployments",
    "/resources/%3Cscript%3Ehacked%3D1",
)


def fill(world: World) -> Store:
    """Everything, and the store of Deployments."""
    for resource in (PODS, REPLICA_SETS, EVENTS, WIDGETS):
        store = world.mirror(resource, required=False)
        store.sync(_evil(store, NAME))
    crds = world.mirror(CRDS, required=False)
    crds.sync(crds.object(7, "widgets.example.com", spec=_definition(), status=_status(), cells=_cells("widgets")))
    deployments = world.mirror(DEPLOYMENTS)
    deployments.sync(_evil(deployments, NAME), _evil(deployments, ODD))
    deployments.writer.handle(Columns(_columns()))
    return deployments


def _evil(store: Store, name: str) -> Any:
    return store.object(7, name, "blue", uid=f"{EVIL}{name}", cells=_cells(name), **fields())


def fields() -> dict[str, Any]:
    """What a Deployment, a Pod, an Event or anything else may have beside its name."""
    container = {
        "name": EVIL, "image": EVIL, "args": [EVIL, LONG], "env": [{"name": EVIL, "value": EVIL}], "command": [ADDRESS],
    }  # fmt: skip
    template = {
        "metadata": {"labels": {"evil": EVIL}},
        "spec": {"containers": [container], "initContainers": [container]},
    }
    return {
        "labels": {"evil": EVIL, EVIL: ADDRESS},
        "annotations": {"link": ADDRESS, "home": f"https://example.com/{EVIL}", EVIL: EVIL, "long": LONG},
        "spec": {
            "replicas": 3, "paused": EVIL, "selector": {"matchLabels": {"evil": EVIL}}, "template": template,
            "strategy": {"type": EVIL}, "nodeName": EVIL, "containers": [container], "url": ADDRESS,
        },
        "status": _status(),
        "involvedObject": {"kind": "Deployment", "namespace": "blue", "name": "web", "uid": f"{EVIL}web"},
        "reason": EVIL, "message": EVIL, "type": EVIL, "source": {"component": EVIL}, "count": EVIL,
        "lastTimestamp": EVIL,
    }  # fmt: skip


def _status() -> dict[str, Any]:
    condition = {"type": EVIL, "status": EVIL, "reason": EVIL, "message": EVIL, "lastTransitionTime": EVIL}
    waiting = {"name": EVIL, "state": {"waiting": {"reason": EVIL, "message": EVIL}}, "image": EVIL, "imageID": EVIL}
    return {
        "phase": EVIL, "reason": EVIL, "message": EVIL, "replicas": EVIL, "observedGeneration": EVIL,
        "conditions": [condition, {**condition, "type": "Progressing"}, {**condition, "type": "Ready"}],
        "containerStatuses": [waiting], "podIP": EVIL,
    }  # fmt: skip


def _cells(name: str) -> list[Any]:
    return [name, EVIL, "3d", ADDRESS]


def _columns() -> bytes:
    titles = ["Name", EVIL, "Age", "Link"]
    return json.dumps(
        [{"name": each, "type": "string", "format": "", "description": EVIL, "priority": 0} for each in titles]
    ).encode()


def _definition() -> dict[str, Any]:
    field = {"type": "string", "description": EVIL, "default": EVIL, "enum": [EVIL, ADDRESS], "pattern": EVIL}
    schema = {
        "type": "object",
        "description": LONG,
        "properties": {EVIL: field, "nested": {"type": "object", "properties": {EVIL: field}}},
    }
    column = {"name": EVIL, "type": "string", "jsonPath": ".spec.url", "description": EVIL}
    version = {
        "name": "v1", "served": True, "storage": True, "deprecationWarning": EVIL, "deprecated": True,
        "schema": {"openAPIV3Schema": schema}, "additionalPrinterColumns": [column],
    }  # fmt: skip
    return {
        "group": "example.com", "scope": "Namespaced", "versions": [version],
        "names": {"plural": "widgets", "singular": EVIL, "kind": "Widget", "shortNames": [EVIL], "categories": [EVIL]},
    }  # fmt: skip
