"""What a reader selects: labels and fields together, compiled once, and what to wake it for."""

from __future__ import annotations

from dataclasses import dataclass

from kubemirror.state.field_selector import FieldSelector, parse_field_selector
from kubemirror.state.journal import Interest
from kubemirror.state.label_selector import LabelSelector, parse_label_selector
from kubemirror.state.objects import Object

__all__ = ["ALL", "FieldSelector", "LabelSelector", "Selection", "parse_field_selector", "parse_label_selector"]

_NO_LABELS = LabelSelector(())
_NO_FIELDS = FieldSelector((), {})


@dataclass(frozen=True, slots=True)
class Selection:
    """A label and a field selector, both of which must match."""

    label: LabelSelector = _NO_LABELS
    field: FieldSelector = _NO_FIELDS

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return self.label.empty and self.field.empty

    def matches(self, held: Object) -> bool:
        """Whether ``held`` is selected."""
        return self.label.matches(held.labels) and self.field.matches(held)

    def interest(self, namespace: str | None) -> Interest:
        """What a reader of this selection in ``namespace`` (None: in all) must be woken for.

        Coarse: a change that enters, stays in or leaves the selection is always inside it.
        """
        return Interest(
            namespace=self.field.namespace if namespace is None else namespace,
            name=self.field.name,
            label=self.label.equality,
        )


ALL = Selection()
