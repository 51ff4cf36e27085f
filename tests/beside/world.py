"""A control plane that holds some of every kind, and is then still: its answers can be compared at leisure."""

from __future__ import annotations

import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.control_plane import READY_SECONDS, ControlPlane, RefusedError

MERGE_PATCH = "application/merge-patch+json"
HERE = Path(__file__).parent
MANIFESTS = [
    *yaml.safe_load_all((HERE / "world.yaml").read_text()),
    *json.loads((HERE / "odd.json").read_text()),  # texts, keys and numbers that YAML might take for something else
]
# Enough for pages, and for a body beyond the 128 KiB from which gzip is spoken.
MANY = 60
# Together beyond the 2 MB from which the mirror makes a body piece by piece.
HEAVY = 25
# Their Tables and metadata stay below the 128 KiB, their sum as objects does not: whoever guesses guesses wrong.
CROWD = 200
_WORKLOADS = ("kube-controller-manager", "kube-scheduler", "kwok")


class World:
    """What is written here is told to the API server at once; ``rv`` is the newest it answered."""

    def __init__(self, plane: ControlPlane) -> None:
        self.plane = plane
        self.rv = 0
        self._touched = 0
        self._paths: dict[tuple[str, str], tuple[str, bool, bool]] = {}

    # -- writing ----------------------------------------------------------------------------------------

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """The object, with its status where the manifest has one."""
        status = manifest.get("status")
        collection, _, has_status = self._place(manifest)
        created = self._noted(self.plane.request("POST", collection, manifest))
        if status is not None and has_status:
            path = f"{collection}/{manifest['metadata']['name']}/status"
            created = self._noted(self.plane.request("PATCH", path, {"status": status}, content_type=MERGE_PATCH))
        return created

    def patch(self, path: str, patch: Any) -> dict[str, Any]:
        return self._noted(self.plane.request("PATCH", path, patch, content_type=MERGE_PATCH))

    def touch(self, *paths: str) -> int:
        """Change each object a little; the resourceVersion of the first, which all the others' are beyond."""
        self._touched += 1
        labels = {"metadata": {"labels": {"touched": str(self._touched)}}}
        return min(int(self.patch(path, labels)["metadata"]["resourceVersion"]) for path in paths)

    def delete(self, path: str) -> dict[str, Any]:
        return self._noted(self.plane.request("DELETE", path))

    def forget(self) -> None:
        """Nothing of the past is known any more, to etcd or to the API server's caches."""
        body = json.dumps({"revision": str(self.rv), "physical": True}).encode()
        with urllib.request.urlopen(f"{self.plane.etcd_url}/v3/kv/compaction", body, timeout=10):
            pass
        self.plane.end_process("kube-apiserver")
        self.plane.start_api_server()
        self.plane.until_ready()

    def watchable(self) -> dict[str, str]:
        """Every resource that can be mirrored, by its name, and the path of all its objects; Secrets never are."""
        found: dict[str, str] = {}
        for group_version, resource in self._resources():
            group = group_version.rpartition("/")[0]
            if "watch" in resource["verbs"] and resource["name"] != "secrets":
                name = f"{resource['name']}.{group}" if group else resource["name"]
                found.setdefault(name, f"{'/apis' if group else '/api'}/{group_version}/{resource['name']}")
        return found

    def _noted(self, answer: dict[str, Any]) -> dict[str, Any]:
        self.rv = max(self.rv, int(answer.get("metadata", {}).get("resourceVersion", 0)))
        return answer

    def _place(self, manifest: dict[str, Any]) -> tuple[str, bool, bool]:
        identity = manifest["apiVersion"], manifest["kind"]
        if identity not in self._paths:
            for group_version, resource in self._resources():
                known = self._paths.get((group_version, resource["kind"]))
                base = f"{'/apis' if '/' in group_version else '/api'}/{group_version}"
                if "/" not in resource["name"]:
                    self._paths[group_version, resource["kind"]] = (
                        f"{base}/{resource['name']}",
                        resource["namespaced"],
                        False,
                    )
                elif resource["name"].endswith("/status") and known is not None:
                    self._paths[group_version, resource["kind"]] = *known[:2], True
        path, namespaced, has_status = self._paths[identity]
        if namespaced:
            base, _, plural = path.rpartition("/")
            path = f"{base}/namespaces/{manifest['metadata']['namespace']}/{plural}"
        return path, namespaced, has_status

    def _resources(self) -> list[tuple[str, dict[str, Any]]]:
        versions = ["v1"]
        groups = self.plane.request("GET", "/apis")["groups"]
        versions += [group["preferredVersion"]["groupVersion"] for group in groups]
        versions += [
            version["groupVersion"]
            for group in groups
            for version in group["versions"]
            if version["groupVersion"] not in versions
        ]
        return [
            (version, resource)
            for version in versions
            for resource in self.plane.request("GET", f"{'/apis' if '/' in version else '/api'}/{version}")["resources"]
        ]

    # -- its life ---------------------------------------------------------------------------------------

    def furnish(self) -> None:
        """Fill it, let Deployments roll out, and end whoever would go on writing."""
        for manifest in MANIFESTS:
            if manifest["kind"] == "CustomResourceDefinition":
                self.create(manifest)
        for manifest in MANIFESTS:
            if manifest["kind"] != "CustomResourceDefinition":
                self._create_when_defined(manifest)
        for at in range(MANY):
            self.create(configmap(f"many-{at:03}", namespace="team-b", labels={"at": str(at), "odd": str(at % 2)}))
        for at in range(HEAVY):
            self.create(revision(f"heavy-{at:02}", "0123456789<>&abc" * 6000))
        for at in range(CROWD):
            self.create(lease(f"crowd-{at:03}"))
        self.create(configmap("large", namespace="team-b", data={"text": "0123456789abcdef" * 9000}))
        self.create(configmap("not-large", namespace="team-b", data={"text": "0123456789abcdef" * 7000}))
        self._until(
            lambda: self._ready("team-a", "web", 2) and self._ready("team-a", "idle", 0) and self._pods("team-a") == 2
        )
        for name in _WORKLOADS:
            self.plane.end_process(name)
        self.forget()

    def _create_when_defined(self, manifest: dict[str, Any]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.create(manifest)
            except (RefusedError, KeyError) as error:  # its definition is not served yet, or there is no account
                lasting = isinstance(error, RefusedError) and error.code not in (403, 404)
                if lasting or time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
            else:
                return

    def _ready(self, namespace: str, name: str, count: int) -> bool:
        status = self.plane.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}")["status"]
        return status.get("readyReplicas", 0) == count and status.get("observedGeneration", 0) > 0

    def _pods(self, namespace: str) -> int:
        pods = self.plane.request("GET", f"/api/v1/namespaces/{namespace}/pods")["items"]
        return sum(pod["status"].get("phase") == "Running" for pod in pods)

    def _until(self, condition: Any) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while not condition():
            assert time.monotonic() < deadline, "Deployments do not roll out"
            time.sleep(0.1)


def revision(name: str, text: str) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": name, "namespace": "team-b"},
        "revision": 1,
        "data": {"text": text},
    }


def lease(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "team-b", "annotations": {"text": "0123456789abcdef" * 20}},
        "spec": {"holderIdentity": "crowd"},
    }


def configmap(name: str, *, namespace: str = "team-a", data: dict[str, str] | None = None, **metadata: Any) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, **metadata},
        "data": data or {"key": name},
    }
