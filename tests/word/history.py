"""What really happened: every version of every object, and every write, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class State(NamedTuple):
    """One version of one object. body: as JSON, where differences are checked."""

    name: str
    uid: str
    version: int
    color: str
    image: str
    body: bytes = b""


class Step(NamedTuple):
    """One write. new: None for a deletion."""

    version: int
    old: State | None
    new: State | None

    @property
    def name(self) -> str:
        state = self.new or self.old
        assert state is not None
        return state.name


@dataclass
class History:
    """Written down by whoever writes, or by whoever watches the writes at their source."""

    steps: list[Step] = field(default_factory=list)
    objects: dict[str, State] = field(default_factory=dict)
    states: dict[tuple[str, int], State] = field(default_factory=dict)
    version: int = 0

    def put(self, state: State) -> None:
        self.version = state.version
        self.steps.append(Step(state.version, self.objects.get(state.name), state))
        self.objects[state.name] = self.states[state.name, state.version] = state

    def drop(self, version: int, name: str) -> None:
        self.version = version
        self.steps.append(Step(version, self.objects.pop(name), None))

    def at(self, version: int) -> dict[str, State]:
        """The objects as they were then."""
        objects: dict[str, State] = {}
        for step in self.steps:
            if step.version > version:
                break
            if step.new is not None:
                objects[step.new.name] = step.new
            else:
                del objects[step.name]
        return objects
