"""Metrics that PromQL expressions name, and those that /metrics tells."""

from __future__ import annotations

import re

from kubemirror.serve.metrics import MirrorCollector
from kubemirror.serve.serving import Serving
from tests.serve.world import World

# What samples of a family are called beside its own name.
SAMPLES = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "summary": ("_sum", "_count"),
    "info": ("_info",),
}
# Of the Prometheus client's own collectors, which stand beside ours.
PROCESS = {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def told_by_the_collector() -> set[str]:
    """The names of all samples that this version can tell."""
    world = World()
    world.mirror().sync()
    families = MirrorCollector(Serving(world.context)).collect()
    return PROCESS | {family.name + suffix for family in families for suffix in SAMPLES.get(family.type, ("",))}


def metrics_of(expression: str) -> set[str]:
    """Names of metrics in a PromQL expression: ours, or the process'. Label names and strings are not among them."""
    without = re.sub(r"\{[^}]*\}|\b(?:by|on|without) \([^)]*\)|\"[^\"]*\"", "", expression)
    return set(re.findall(r"\b(?:kubemirror|reflector|process)_\w+", without))
