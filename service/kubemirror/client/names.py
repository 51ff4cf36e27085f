"""Which Kubernetes path a resource has, by any name that kubectl takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource as discovery tells it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    names: frozenset[str]

    def path(self, namespace: str) -> str:
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace and self.namespaced else ""
        return f"{root}{inside}/{self.plural}"


def resources_of(discovery: dict[str, Any]) -> Iterator[Resource]:
    """What an APIGroupDiscoveryList names; groups and versions in the order in which they are preferred."""
    for group in discovery["items"]:
        for version in group["versions"]:
            for each in version["resources"]:
                short = each.get("shortNames", [])
                yield Resource(
                    group=group["metadata"].get("name", ""),
                    version=version["version"],
                    plural=each["resource"],
                    kind=each["responseKind"]["kind"],
                    namespaced=each["scope"] == "Namespaced",
                    names=frozenset([each["resource"], each.get("singularResource", ""), *short]),
                )


def named(name: str, resources: Iterator[Resource]) -> Resource | None:
    """The first that goes by ``name``: ``deploy``, ``deployments.apps``, ``deployments.v1.apps``."""
    word, _, rest = name.lower().partition(".")
    return next(
        (each for each in resources if word in each.names and rest in ("", each.group, f"{each.version}.{each.group}")),
        None,
    )
