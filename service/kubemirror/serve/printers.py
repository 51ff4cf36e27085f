"""What prints a resource's cells, made once per version of its columns."""

from __future__ import annotations

from kubemirror.serve.reading import Reading
from kubemirror.state.catalog import Resource
from kubemirror.views.columns import Printer
from kubemirror.views.table import Table


class Printers:
    """The printers of one process."""

    def __init__(self) -> None:
        self._printers: dict[str, tuple[Resource, bytes, Printer]] = {}

    def of(self, reading: Reading) -> Printer:
        resource = reading.entry.resource
        definitions = reading.definitions
        held = self._printers.get(resource.name)
        if held is None or held[0] != resource or held[1] != definitions:
            held = (resource, definitions, Printer(resource, resource.version, definitions))
            self._printers[resource.name] = held
        return held[2]

    def table(self, reading: Reading, printer: Printer | None = None) -> Table:
        """Its columns by name, and what each object has in them."""
        resource = reading.entry.resource
        return Table(
            resource,
            self.of(reading) if printer is None else printer,
            several=resource.namespaced and reading.namespace is None,
        )
