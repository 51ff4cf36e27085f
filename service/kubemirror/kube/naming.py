"""Names as kubectl takes them, looked up among resources: ``resource[.version][.group]``.

The resource part is a plural, singular, short name or kind in any case. A name with a version is tried
before one whose rest is a group; an exact group before a prefix of one; ties go to the first in discovery
order. (cli-runtime: schema.ParseResourceArg; apimachinery: meta.DefaultRESTMapper.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from kubemirror.state.catalog import Resource


def resolve(name: str, resources: Iterable[Resource]) -> tuple[Resource, str] | None:
    """The resource meant by ``name`` and the version it names ("" when it names none); None where there is none."""
    return next(_candidates(name, list(resources)), None)


def meant(name: str, resources: Sequence[Resource]) -> list[Resource]:
    """Every resource that ``name`` could mean, for exclusion: ``*.group`` is a whole group, ``foos`` all foos."""
    if name.startswith("*."):
        return in_group(name, resources)
    found: dict[str, Resource] = {}
    for resource, _ in _candidates(name, resources):
        found.setdefault(resource.name, resource)
    return list(found.values())


def in_group(pattern: str, resources: Iterable[Resource]) -> list[Resource]:
    """The resources of the group in ``*.group``."""
    group = pattern.lower().removeprefix("*.")
    return [resource for resource in resources if resource.group == group]


def suggestion(name: str, resources: Iterable[Resource]) -> str:
    """`` (nearest: "foos.clux.dev", ...)``, or "" where nothing is near."""
    known: dict[str, str] = {}
    for resource in resources:
        for alias in (resource.name, resource.plural, resource.singular, resource.kind.lower(), *resource.short_names):
            known.setdefault(alias, resource.name)
        if resource.group:
            known.setdefault(f"*.{resource.group}", f"*.{resource.group}")
    near = dict.fromkeys(known[alias] for alias in get_close_matches(name.lower(), known, n=3, cutoff=0.7))
    quoted = ", ".join(f'"{each}"' for each in near)
    return f" (nearest: {quoted})" if quoted else ""


def _candidates(name: str, resources: Sequence[Resource]) -> Iterator[tuple[Resource, str]]:
    head, _, rest = name.lower().partition(".")
    alike = [resource for resource in resources if _called(head, resource)]
    if not rest:
        yield from ((resource, "") for resource in alike)
        return
    version, _, group = rest.partition(".")
    yield from (
        (resource, version) for resource in alike if resource.group == group and resource.served(version) is not None
    )
    yield from ((resource, "") for resource in alike if resource.group == rest)
    yield from ((resource, "") for resource in alike if resource.group.startswith(rest) and resource.group != rest)


def _called(head: str, resource: Resource) -> bool:
    return (
        head == resource.plural
        or head == resource.singular.lower()
        or head == resource.kind.lower()
        or head in map(str.lower, resource.short_names)
    )
