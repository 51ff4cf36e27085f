"""The view model of /: what the page shows, and what JSON readers get."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from kubemirror.state.events import Phase
from kubemirror.views.conditions import Tone


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class MirroredResource(_Model):
    """One mirrored resource and how fresh it is."""

    resource: str
    kind: str
    group: str
    version: str
    objects: int | None = Field(description="null where the caller may see a part only.")
    bytes: int
    phase: Phase
    reason: str
    stale_seconds: float | None
    heard_seconds: float | None
    resource_version: str


class Counts(_Model):
    """How many objects are as wanted and how many are not, by tone."""

    bad: int = 0
    warn: int = 0
    busy: int = 0
    unknown: int = 0
    good: int = 0
    rest: int = Field(0, description="As wanted, and not meant to run.")

    @property
    def total(self) -> int:
        return self.bad + self.warn + self.busy + self.unknown + self.good + self.rest

    @property
    def worst(self) -> Tone:
        return next((tone for tone in Tone if getattr(self, tone.value)), Tone.REST)

    @property
    def told(self) -> list[tuple[Tone, int]]:
        """The tones that occur, worst first."""
        return [(tone, getattr(self, tone.value)) for tone in Tone if getattr(self, tone.value)]


class KindHealth(_Model):
    """One kind of which objects say how they are."""

    resource: str
    kind: str
    counts: Counts


class NamespaceHealth(_Model):
    """One namespace; kinds by resource. A cluster-scoped object is in the namespace ""."""

    namespace: str
    counts: Counts
    kinds: dict[str, Counts]


class Because(_Model):
    """What objects below an unhealthy one say: two Pods in CrashLoopBackOff."""

    resource: str
    kind: str
    word: str
    tone: Tone
    count: int
    namespace: str
    name: str = Field(description="One of them.")


class Unhealthy(_Model):
    """One object that is not as wanted."""

    resource: str
    kind: str
    namespace: str
    name: str
    word: str
    tone: Tone
    sentence: str
    rule: str
    detail: str
    since: float | None = Field(description="Seconds since 1970; null where nothing tells.")
    because: list[Because]


class ChangedValue(_Model):
    """One value that changed; null where there is none, or where only its name is told."""

    meaning: str
    label: str
    old: str | None
    new: str | None


class Changed(_Model):
    """One change in meaning, under the names of push's ``changes=``."""

    at: float = Field(description="Seconds since 1970.")
    until: float = Field(description="Its last step; equal to at for one change.")
    type: str = Field(description="ADDED, MODIFIED or DELETED.")
    resource: str
    kind: str
    namespace: str
    name: str
    meanings: list[str]
    manager: str = Field(description='Who wrote it, as managedFields tell; "" where they do not.')
    details: list[ChangedValue]
    more: int = Field(description="Details that are not kept.")
    steps: int = Field(description="Changes that are told as one.")
    unwatched: bool = Field(description="The outcome of a stretch that was not watched.")
    there: bool = Field(description="Whether the object is still there.")


class RunningVersion(_Model):
    """One version of an image, and who runs it."""

    version: str
    workloads: int
    namespaces: list[str]
    resource: str
    namespace: str
    name: str = Field(description="One of the workloads.")


class Drift(_Model):
    """An image that runs in more than one version, most workloads first."""

    image: str
    versions: list[RunningVersion]


class NotShown(_Model):
    """What the caller may not see, or the mirror does not have."""

    resource: str
    reason: str


class Overview(_Model):
    """What is wrong now, what changed, which versions run side by side, and how fresh all of it is."""

    waiting: list[str] = Field(description="What readiness still waits for.")
    health: list[KindHealth]
    namespaces: list[NamespaceHealth] = Field(description="Worst first.")
    unhealthy: list[Unhealthy] = Field(description="Worst first, at most 50.")
    unhealthy_total: int
    changes: list[Changed] = Field(description="Newest first, at most 25 of the last 15 minutes.")
    changes_since: float | None = Field(description="Seconds since 1970 since when changes are remembered.")
    drift: list[Drift]
    mirrored: list[MirroredResource]
    not_shown: list[NotShown]
    withheld: bool = Field(description="Whether resources are left out that the caller may not know by name.")
    omitted: bool = Field(description="Whether the caller may not see all namespaces: what is in others is left out.")
