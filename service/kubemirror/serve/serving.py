"""What the handlers of one process share beside the Context."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from kubemirror.serve.answers import Answers
from kubemirror.serve.asked import Asked
from kubemirror.serve.chronicle import Chronicle
from kubemirror.serve.context import Context
from kubemirror.serve.drawn_rows import DrawnRows
from kubemirror.serve.fastlane import Lane
from kubemirror.serve.opening import Turns
from kubemirror.serve.pages import Pages
from kubemirror.serve.printers import Printers
from kubemirror.serve.seats import Seats
from kubemirror.serve.sharing import Sharing
from kubemirror.serve.sort_values import SortValues
from kubemirror.serve.survey import Survey
from kubemirror.serve.traffic import Traffic


@dataclass(slots=True)
class Serving:
    """Handed to every router when it is built."""

    context: Context
    answers: Answers = field(default_factory=Answers)
    traffic: Traffic = field(default_factory=Traffic)
    pages: Pages = field(default_factory=Pages)
    printers: Printers = field(init=False)
    drawn_rows: DrawnRows = field(init=False)
    sort_values: SortValues = field(default_factory=SortValues)
    lane: Lane = field(init=False)
    seats: Seats = field(init=False)
    chronicle: Chronicle = field(init=False)
    survey: Survey = field(default_factory=Survey)
    sharing: Sharing = field(default_factory=Sharing)
    turns: Turns = field(default_factory=Turns)

    def __post_init__(self) -> None:
        self.lane = Lane(self.context, self.traffic)
        self.seats = Seats(self.context, self.traffic)
        self.chronicle = Chronicle(self.context)
        self.printers = Printers(self.survey, self.chronicle)
        self.drawn_rows = DrawnRows(self.pages)


async def _asked(request: Request) -> Asked:
    asked: Asked = request.scope["kubemirror.asked"]
    return asked


AskedHere = Annotated[Asked, Depends(_asked)]
