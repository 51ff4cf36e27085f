"""The Authorizer of open mode: everyone may read the resources that are listed, and nothing else of the cluster.

Secrets are never among them. Whoever reaches the port is answered, so reading is all there is: what makes the mirror
ask the API server (POST /-/refresh) is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import structlog

from kubemirror.access.authorizer import (
    Allow,
    Caller,
    Candidates,
    Decision,
    Deny,
    PathAttributes,
    ResourceAttributes,
)
from kubemirror.errors import ConfigError
from kubemirror.state.catalog import Catalog

log = structlog.get_logger(__name__)


def check(names: Sequence[str]) -> None:
    """Raise ConfigError where nothing is listed, or what must not be."""
    if not names:
        raise ConfigError(
            "--access open answers everyone: list what everyone may read with --open-resource, as in "
            "--open-resource deployments.apps"
        )
    for name in names:
        if name.lower().split(".")[0] in _SECRETS:
            raise ConfigError(f"--open-resource {name}: Secrets are never open to everyone")


# A definition comes by someone's hand; who lists it beforehand is told no more than once.
LOOK_SECONDS = 60.0
# Discovery takes about as long.
START_SECONDS = 1.0
_MISSING = "nothing of this name is mirrored, so nobody can read it: is it spelled so, and does --mirror name it?"
_READ = ("get", "list", "watch", "head")
_SECRETS = ("secret", "secrets")


class Listed:
    """names: any that kubectl takes; read as the catalog reads them, each time, since resources come and go."""

    def __init__(self, catalog: Catalog, names: Sequence[str]) -> None:
        self._catalog = catalog
        self._names = tuple(names)

    async def authorize(
        self,
        caller: Caller,
        attributes: ResourceAttributes | PathAttributes,
        *,
        partial: Candidates | None = None,
        held: Decision | None = None,
    ) -> Decision:
        """As Authorizer.authorize; the answer holds for as long as the process lives."""
        if attributes.verb not in _READ:
            return Deny("open to everyone for reading only")
        if isinstance(attributes, PathAttributes):
            return Allow()
        if (attributes.group, attributes.resource) != ("", "secrets") and self._lists(attributes):
            return Allow()
        return Deny("not open to everyone: sign in to the cluster itself, or list it with --open-resource")

    async def run(self) -> None:
        """Say what is listed and not there to be read: a slip of the pen, or a definition that comes later."""
        told: list[str] = []
        while True:
            missing = [name for name in self._names if self._catalog.find(name) is None]
            if self._catalog.complete:
                for name in (name for name in missing if name not in told):
                    near = get_close_matches(name.lower(), self._catalog.names(), n=1)
                    log.warning("access.open_resource_missing", resource=name, nearest=near, meaning=_MISSING)
                told = missing
            await asyncio.sleep(LOOK_SECONDS if self._catalog.complete else START_SECONDS)

    async def rules(self, caller: Caller, namespace: str) -> Mapping[str, Any]:
        """As Rules.rules: what is listed, as it is named now."""
        found = [entry.resource for entry in map(self._catalog.find, self._names) if entry is not None]
        told = [
            {"verbs": ["get", "list", "watch"], "apiGroups": [each.group], "resources": [each.plural]}
            for each in found
            if (each.group, each.plural) != ("", "secrets")
        ]
        return {"resourceRules": told, "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["*"]}]}

    def _lists(self, attributes: ResourceAttributes) -> bool:
        for name in self._names:
            entry = self._catalog.find(name)
            if entry is None:
                continue
            resource = entry.resource
            if (resource.group, resource.plural) == (attributes.group, attributes.resource):
                return True
        return False
