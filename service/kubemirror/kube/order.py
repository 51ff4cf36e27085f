"""The order in which the API server's discovery tells its resources."""

from __future__ import annotations

from collections.abc import Mapping

from kubemirror.state.catalog import Resource


def group_positions(groups: tuple[str, ...], custom: frozenset[str]) -> dict[str, tuple[int, int, str]]:
    """Each group's place: discovery's; a CRD group that discovery has not told yet comes among its like, by name.

    All groups of CRDs have one priority (1000) and are told in order of their names.
    """
    positions = {group: (at, 0, "") for at, group in enumerate(groups)}
    like = [group for group in groups if group in custom]
    for group in custom - positions.keys():
        before = [positions[other][0] for other in like if other < group]
        after = [positions[other][0] for other in like if other > group]
        at = max(before) if before else (min(after) - 1 if after else len(groups))
        positions[group] = (at, 1, group)
    return positions


def discovery_order(positions: Mapping[str, tuple[int, int, str]], resource: Resource) -> tuple[int, int, str, str]:
    return (*positions.get(resource.group, (len(positions), 2, resource.group)), resource.plural)
