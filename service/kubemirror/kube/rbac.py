"""The role that a mirror needs on a cluster: exactly what it would mirror there, get, list and watch.

Printed as YAML for ``kubectl apply -f -``: a ClusterRole, or with ``--namespace`` a Role in each namespace
beside a ClusterRole for what has none. It has a name of its own, so that neither it nor deploy/base ever undoes
the other, and the ClusterRole a label by which deploy/base, where it is applied, takes it into what it has bound.
Whoever prints it needs to read more than the role grants: run it as a cluster's administrator, not as the mirror.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping

import msgspec

from kubemirror.errors import ConfigError
from kubemirror.kube.connection import Connection
from kubemirror.kube.definitions import Definition, definition
from kubemirror.kube.discovery import Discovery, DiscoveryError, fetch
from kubemirror.kube.selection import DEFINITIONS, SECRETS, Choice, Selection, Wanted
from kubemirror.kube.transport import Transport, TransportError
from kubemirror.settings import Settings
from kubemirror.state.catalog import ALL_NAMESPACES

NAME = "kubemirror-mirrored"
# deploy/base's ClusterRole kubemirror-view is made of the roles that have it. Not the label of the built-in `view`:
# that would let everyone view what the mirror may.
AGGREGATED = "kubemirror-aggregate"
# Definitions are the fattest objects there are (up to a megabyte): pages of 100 stay well below the read limit.
PAGE_SIZE = 100


def print_role(settings: Settings) -> int:
    """Print the role for what ``settings`` would mirror on the cluster they point at; the exit code."""
    if settings.demo:
        raise ConfigError("the demo cluster has no RBAC: leave out --demo to ask a real cluster")
    print(asyncio.run(_ask(settings)), end="")  # noqa: T201 - the command's output
    return 0


async def _ask(settings: Settings) -> str:
    async with await Connection.open(kubeconfig=settings.kubeconfig, context=settings.context) as connection:
        return await role(connection, settings)


async def role(transport: Transport, settings: Settings) -> str:
    """The YAML. Raises ConfigError when the cluster cannot be asked."""
    choice = Choice(mirror=settings.mirror, exclude=settings.exclude, namespaces=settings.namespace)
    try:
        discovered = await Discovery(transport).read()
        definitions = await _definitions(transport) if choice.reads_definitions else None
    except (DiscoveryError, TransportError) as error:
        raise ConfigError(f"cannot tell what would be mirrored: {error}") from error
    guessed = definitions is None
    return _yaml(choice.select(discovered, definitions or {}, complete=not guessed), guessed=guessed)


class _Listed(msgspec.Struct):
    continue_: str = msgspec.field(name="continue", default="")


class _Definitions(msgspec.Struct):
    items: list[msgspec.Raw]
    metadata: _Listed = msgspec.field(default_factory=_Listed)


_list = msgspec.json.Decoder(_Definitions).decode


async def _definitions(transport: Transport) -> Mapping[str, Definition] | None:
    """Every CustomResourceDefinition by name; None when they may not be read or are not there."""
    read: dict[str, Definition] = {}
    position = ""
    while True:
        query = [("limit", str(PAGE_SIZE)), *([("continue", position)] if position else [])]
        answer = await fetch(
            transport, f"{DEFINITIONS.path}/{DEFINITIONS.plural}", accept="application/json", query=query
        )
        if answer.status in {403, 404}:
            return None
        if answer.status != 200:
            raise TransportError(f"listing {DEFINITIONS.plural} was answered {answer.status}")
        try:
            page = _list(answer.body)
            for each in map(definition, map(bytes, page.items)):
                read[each.name] = each
        except ValueError as error:
            raise TransportError(f"listing {DEFINITIONS.plural}: {error}") from error
        position = page.metadata.continue_
        if not position:
            return read


def _yaml(selection: Selection, *, guessed: bool) -> str:
    wanted = selection.wanted
    names = {each.resource.name for each in wanted}
    lines = [
        "# What kubemirror reads on this cluster. Bind it to the mirror's user or service account; a ClusterRole is",
        f"# bound already where deploy/base is applied, by its label {AGGREGATED}.",
        "# Discovery needs system:discovery, which every authenticated user has by default.",
    ]
    if any(each.resource.custom for each in wanted):
        lines += [
            "# Custom resources are those there are today: one that is defined later is FORBIDDEN to the mirror,",
            "# and shown as such, until this is printed and applied again.",
        ]
    if guessed:
        lines.append("# CustomResourceDefinitions could not be read: custom resources are what discovery lists.")
    if SECRETS in names:
        lines.append("# Secrets: the mirror holds their metadata only, but RBAC cannot grant less than all of it.")
    lines += [f"# Left out, --mirror {each.name}: {each.reason}" for each in selection.missing]
    whole = [each for each in wanted if ALL_NAMESPACES in each.namespaces]
    documents = [_role("ClusterRole", "", whole)] if whole else []
    namespaces = sorted({namespace for each in wanted for namespace in each.namespaces} - {ALL_NAMESPACES})
    documents += [
        _role("Role", namespace, [each for each in wanted if namespace in each.namespaces]) for namespace in namespaces
    ]
    return "\n".join(lines) + "\n" + "---\n".join(documents)


def _role(kind: str, namespace: str, wanted: Iterable[Wanted]) -> str:
    groups: dict[str, list[str]] = {}
    for each in wanted:
        groups.setdefault(each.resource.group, []).append(each.resource.plural)
    lines = ["apiVersion: rbac.authorization.k8s.io/v1", f"kind: {kind}", "metadata:", f"  name: {NAME}"]
    if namespace:
        lines.append(f"  namespace: {json.dumps(namespace)}")
    else:
        lines += ["  labels:", f'    {AGGREGATED}: "true"']
    lines.append("rules:")
    for group in sorted(groups):
        lines += [
            f"- apiGroups: [{json.dumps(group)}]",
            f"  resources: {json.dumps(sorted(groups[group]))}",
            '  verbs: ["get", "list", "watch"]',
        ]
    return "\n".join(lines) + "\n"
