"""What prints a resource's cells, made once per version of its columns."""

from __future__ import annotations

from kubemirror.serve.chronicle import Chronicle
from kubemirror.serve.reading import Reading
from kubemirror.serve.survey import Survey
from kubemirror.state.catalog import Resource
from kubemirror.views.columns import Printer
from kubemirror.views.computed import computed
from kubemirror.views.table import Table, default_columns


class Printers:
    """The printers of one process. survey, chronicle: what our own columns are made of."""

    def __init__(self, survey: Survey, chronicle: Chronicle) -> None:
        self._survey = survey
        self._chronicle = chronicle
        self._printers: dict[str, tuple[Resource, bytes, Printer]] = {}

    def of(self, reading: Reading) -> Printer:
        resource = reading.entry.resource
        definitions = reading.definitions
        held = self._printers.get(resource.name)
        if held is None or held[0] != resource or held[1] != definitions:
            held = (resource, definitions, Printer(resource, resource.version, definitions))
            self._printers[resource.name] = held
        return held[2]

    def table(self, reading: Reading, *, page: bool = False) -> Table:
        """Its columns by name, and what each object has in them. page: with those that a page shows by default."""
        resource = reading.entry.resource
        chronicle = self._chronicle
        last_change = chronicle.last_change_cell(resource) if chronicle.history.budget else None
        return Table(
            resource,
            self.of(reading),
            computed(resource, self._survey.verdict, last_change),
            several=resource.namespaced and reading.namespace is None,
            defaults=default_columns(resource, page=page),
            searched=default_columns(resource, page=True),
        )
