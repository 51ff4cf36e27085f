"""Which version of what runs in a workload: version-rs' item, right where version-rs is wrong.

version-rs cuts an image at its first colon, so that a registry's port becomes the version and a digest is
lost. Only the pod template is decoded.
"""

from __future__ import annotations

from typing import Any

import msgspec

from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.views.images import Image, parse_image


class _Container(msgspec.Struct):
    name: str = ""
    image: str = ""
    restart_policy: str | None = msgspec.field(name="restartPolicy", default=None)


class _Pod(msgspec.Struct):
    containers: list[_Container] | None = None
    init_containers: list[_Container] | None = msgspec.field(name="initContainers", default=None)


class _Template(msgspec.Struct):
    spec: _Pod | None = None


class _WorkloadSpec(msgspec.Struct):
    template: _Template | None = None


class _JobTemplateSpec(msgspec.Struct):
    spec: _WorkloadSpec | None = None


class _CronSpec(msgspec.Struct):
    job_template: _JobTemplateSpec | None = msgspec.field(name="jobTemplate", default=None)


class _WorkloadObject(msgspec.Struct):
    spec: _WorkloadSpec | None = None


class _PodObject(msgspec.Struct):
    spec: _Pod | None = None


class _CronObject(msgspec.Struct):
    spec: _CronSpec | None = None


_workload = msgspec.json.Decoder(_WorkloadObject).decode
_pod = msgspec.json.Decoder(_PodObject).decode
_cron = msgspec.json.Decoder(_CronObject).decode

# Where a kind keeps its pod template. Anything else has no versions: a field called image means nothing by itself.
WORKLOADS = frozenset(
    {
        "deployments.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "replicasets.apps",
        "replicationcontrollers",
        "jobs.batch",
        "cronjobs.batch",
        "pods",
    }
)


def versions(held: Object, resource: Resource, *, wide: bool = False) -> dict[str, Any] | None:
    """The item of one workload, or None where it has no container (or its kind is no workload).

    Exactly ``container, name, namespace, version``: the first container's image without tag and digest, and
    its tag, else its digest, else "latest". wide: also ``image``, ``digest`` (None where there is none) and
    ``containers``: every container with ``name, image, container, version, digest`` and ``kind`` (container,
    init, or sidecar: an init container that keeps running, KEP-753).
    """
    pod = _pod_spec(held, resource)
    if pod is None or not pod.containers:
        return None
    first = pod.containers[0]
    image = parse_image(first.image)
    item: dict[str, Any] = {
        "container": image.name,
        "name": held.name,
        "namespace": held.namespace,
        "version": image.version,
    }
    if wide:
        item["image"] = first.image
        item["digest"] = image.digest or None
        item["containers"] = [
            *(_described(each, "container") for each in pod.containers),
            *(
                _described(each, "sidecar" if each.restart_policy == "Always" else "init")
                for each in pod.init_containers or ()
            ),
        ]
    return item


def _described(container: _Container, kind: str) -> dict[str, Any]:
    image: Image = parse_image(container.image)
    return {
        "name": container.name,
        "image": container.image,
        "container": image.name,
        "version": image.version,
        "digest": image.digest or None,
        "kind": kind,
    }


def _pod_spec(held: Object, resource: Resource) -> _Pod | None:
    name = resource.name
    if name not in WORKLOADS or resource.metadata_only or held.error:
        return None
    try:
        if name == "pods":
            return _pod(held.raw).spec
        if name == "cronjobs.batch":
            cron = _cron(held.raw).spec
            job = cron.job_template.spec if cron is not None and cron.job_template is not None else None
        else:
            job = _workload(held.raw).spec
    except msgspec.ValidationError:
        return None
    return job.template.spec if job is not None and job.template is not None else None
