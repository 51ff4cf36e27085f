"""The manifests below deploy/: as they are written, and as ``kubectl kustomize`` renders them."""

from __future__ import annotations

import argparse
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kubemirror.__main__ import _parser, settings_of
from kubemirror.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
OVERLAYS = ("delegated", "monitoring", "namespaced", "open", "proxy", "replicas", "tree")


_UNITS = {"Mi": 1024**2, "Gi": 1024**3}


def quantity(text: str) -> int:
    """Bytes of a Kubernetes quantity of memory."""
    return int(text[:-2]) * _UNITS[text[-2:]]


def read(path: Path) -> list[dict[str, Any]]:
    """The documents of one file below deploy/."""
    return list(yaml.safe_load_all((DEPLOY / path).read_text()))


@dataclass(frozen=True, slots=True)
class Manifests:
    """Kubernetes objects, found by kind and name."""

    documents: list[dict[str, Any]]

    def of_kind(self, kind: str) -> dict[str, dict[str, Any]]:
        """By name."""
        return {each["metadata"]["name"]: each for each in self.documents if each["kind"] == kind}

    def one(self, kind: str, name: str = "kubemirror") -> dict[str, Any]:
        return self.of_kind(kind)[name]

    @property
    def pod(self) -> dict[str, Any]:
        """The Deployment's pod, as its spec says it."""
        spec: dict[str, Any] = self.one("Deployment")["spec"]["template"]["spec"]
        return spec

    @property
    def container(self) -> dict[str, Any]:
        (container,) = self.pod["containers"]
        assert isinstance(container, dict)
        return container

    @property
    def settings(self) -> Settings:
        """What the container is told means to the command itself, which refuses what it does not know.

        POD_NAMESPACE is replaced as kubelet replaces it.
        """
        namespace = self.one("Deployment")["metadata"]["namespace"]
        given: argparse.Namespace = _parser().parse_args(
            [argument.replace("$(POD_NAMESPACE)", namespace) for argument in self.told]
        )
        return settings_of(given)

    @property
    def told(self) -> list[str]:
        """The container's arguments, and its variables as the flags that they stand for."""
        prefix = "KUBEMIRROR_"
        variables = {each["name"]: each.get("value", "") for each in self.container.get("env", ())}
        flags = [
            f"--{name.removeprefix(prefix).lower().replace('_', '-')}={part}"
            for name, value in variables.items()
            if name.startswith(prefix)
            for part in value.split(",")
        ]
        return [*self.container["args"], *flags]


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a Kubernetes selector means what has these labels; of expressions, those with In alone."""
    assert selector.keys() <= {"matchLabels", "matchExpressions"}
    assert all(each["operator"] == "In" for each in selector.get("matchExpressions", ()))
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", ())
    )


def written() -> Manifests:
    """The base without any tool: it holds no patch, so its files are what is applied."""
    (kustomization,) = read(Path("base/kustomization.yaml"))
    assert set(kustomization) == {"apiVersion", "kind", "namespace", "resources"}
    return Manifests([document for name in kustomization["resources"] for document in read(Path("base") / name)])


def rendered(kubectl: str, folder: Path) -> Manifests:
    """What ``kubectl apply -k`` would apply."""
    done = subprocess.run([kubectl, "kustomize", str(folder)], check=False, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return Manifests(list(yaml.safe_load_all(done.stdout)))
