"""What the handlers of one process share beside the Context."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from kubemirror.serve.answers import Answers
from kubemirror.serve.asked import Asked
from kubemirror.serve.context import Context
from kubemirror.serve.fastlane import Lane
from kubemirror.serve.pages import Pages
from kubemirror.serve.problems import try_later
from kubemirror.serve.traffic import Traffic


@dataclass(slots=True)
class Serving:
    """Handed to every router when it is built."""

    context: Context
    answers: Answers = field(default_factory=Answers)
    traffic: Traffic = field(default_factory=Traffic)
    pages: Pages = field(default_factory=Pages)
    lane: Lane = field(init=False)

    def __post_init__(self) -> None:
        self.lane = Lane(self.context, self.traffic)

    def admit_stream(self) -> None:
        """Whether one more stream may be opened; 429 or 503 with Retry-After otherwise."""
        if self.traffic.open_streams.total() >= self.context.settings.max_streams:
            message = "as many streams are open as --max-streams allows: retry later"
            raise try_later(429, "TooManyRequests", message, seconds=5)
        if self.context.lifecycle.pressed:
            message = "memory is nearly used up: no new streams; retry later"
            raise try_later(503, "ServiceUnavailable", message, seconds=10)


async def _asked(request: Request) -> Asked:
    asked: Asked = request.scope["kubemirror.asked"]
    return asked


AskedHere = Annotated[Asked, Depends(_asked)]
