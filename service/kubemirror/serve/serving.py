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
from kubemirror.serve.seats import Seats
from kubemirror.serve.sharing import Sharing
from kubemirror.serve.traffic import Traffic
from kubemirror.serve.turns import Turns


@dataclass(slots=True)
class Serving:
    """Handed to every router when it is built."""

    context: Context
    answers: Answers = field(default_factory=Answers)
    traffic: Traffic = field(default_factory=Traffic)
    pages: Pages = field(default_factory=Pages)
    lane: Lane = field(init=False)
    seats: Seats = field(init=False)
    sharing: Sharing = field(default_factory=Sharing)
    turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        self.lane = Lane(self.context, self.traffic)
        self.seats = Seats(self.context, self.traffic)


async def _asked(request: Request) -> Asked:
    asked: Asked = request.scope["kubemirror.asked"]
    return asked


AskedHere = Annotated[Asked, Depends(_asked)]
