"""The columns of a resource, by the names that people write, and what each of its objects has in them.

Beside the columns that ``kubectl get`` prints (the wide ones too) a name may be ``Namespace``, one that we compute for
this resource, ``Image`` (of every container of a workload), ``labels.x``, ``annotations.x``, or a JSONPath as printer
columns have it: ``.spec.replicas``. ``Name=any of these`` gives it another title. What has marks in it that mean
something here is quoted (quoted.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import orjson

from kubemirror.errors import KubemirrorError
from kubemirror.state.catalog import Resource
from kubemirror.state.objects import Object
from kubemirror.views.columns import Printer
from kubemirror.views.custom_columns import printed
from kubemirror.views.duration import Ticking
from kubemirror.views.jsonpath import JSONPath, JSONPathError
from kubemirror.views.quoted import cut, unquoted
from kubemirror.views.split import split
from kubemirror.views.values import Kind, kind_of
from kubemirror.views.versions import WORKLOADS

JSON = Any

NAMESPACE = "Namespace"
# Stands for the columns that are shown when none are named.
ALL = "*"
# A page of columns is none, and each one costs time for every object.
MOST_COLUMNS = 64
LABELS, ANNOTATIONS = "labels.", "annotations."


class ColumnError(KubemirrorError):
    """What was written names no column. known: those that there are, where the name is like none of them."""

    def __init__(self, message: str, name: str = "", known: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.name = name
        self.known = known


class Computed(Protocol):
    """A column of our own. cell: of an object at a time. pure: whether it depends on the object and nothing else."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def priority(self) -> int: ...
    @property
    def pure(self) -> bool: ...
    @property
    def cell(self) -> Callable[[Object, float], JSON]: ...


class Line:
    """One object while its cells are looked at: what one of them needs is made once for all."""

    __slots__ = ("_cells", "_data", "_printer", "held", "now")

    def __init__(self, held: Object, printer: Printer, now: float) -> None:
        self.held = held
        self.now = now
        self._printer = printer
        self._cells: list[JSON | Ticking] | None = None
        self._data: JSON = None

    @property
    def cells(self) -> list[JSON | Ticking]:
        """Those of the printer."""
        if self._cells is None:
            self._cells = self._printer.aging_cells(self.held)
        return self._cells

    @property
    def data(self) -> JSON:
        """The object, decoded."""
        if self._data is None:
            self._data = orjson.loads(self.held.raw)
        return self._data


Value = Callable[[Line], JSON | Ticking]


class TableColumn(NamedTuple):
    """One column: its cell is a function of a line.

    kind: how its cells are compared. ages: whether they go on by themselves. pure: whether they are the object's alone.
    decodes: whether a cell takes decoding the whole object, which costs much more than its printed cells.
    source: what the cells are, whatever the column's title.
    """

    name: str
    type: str
    description: str
    priority: int
    kind: Kind
    cell: Value
    ages: bool = False
    pure: bool = True
    decodes: bool = False
    source: str = ""


# What a page shows first of some resources, where that is not what kubectl prints.
_PAGE_COLUMNS = {
    "deployments.apps": ("Health", NAMESPACE, "Name", "Ready", "Up-to-date", "Version", "Age", "Last Change"),
    "statefulsets.apps": ("Health", NAMESPACE, "Name", "Ready", "Version", "Age", "Last Change"),
    "daemonsets.apps": ("Health", NAMESPACE, "Name", "Desired", "Ready", "Up-to-date", "Version", "Age", "Last Change"),
    "customresourcedefinitions.apiextensions.k8s.io": ("Health", "Name", "Kind", "Scope", "Versions", "Created At"),
    "events": ("Last Seen", "Type", "Reason", "Object", NAMESPACE, "Message"),
    "events.events.k8s.io": ("Last Seen", "Type", "Reason", "Object", NAMESPACE, "Message"),
}
# What it is sorted by when nothing is asked for: of events the newest first.
_PAGE_SORT = {"events": "Last Seen", "events.events.k8s.io": "Last Seen"}
# What stands back first where there is no room for all of it.
_PAGE_LESSER = {"deployments.apps": ("Up-to-date",), "daemonsets.apps": ("Desired", "Up-to-date")}
# Of others that say how they are it is their health, and then what kubectl prints.
_JUDGED = ("Health", ALL)


def default_columns(resource: Resource, *, page: bool) -> tuple[str, ...]:
    """The columns that are shown when none are named; () for those that kubectl prints."""
    if not page:
        return ()
    return _PAGE_COLUMNS.get(resource.name, _JUDGED if resource.custom else ())


def cut_title(text: str) -> tuple[str, str]:
    """``Title=any of these`` cut in two, ("", text) where there is no title. Raises ColumnError for an empty one."""
    if text.startswith((".", "{", "[", "$")):
        return "", text
    quoted, rest = cut(text)
    title, equals, source = text.partition("=") if quoted is None else (quoted, rest[:1], rest[1:])
    if equals != "=":
        return "", text
    if not title.strip():
        raise ColumnError(f'"{text}" has no title: write Title={source}')
    return title.strip(), source.strip()


def lesser_columns(resource: Resource) -> tuple[str, ...]:
    """Those of a page that a narrow one leaves to "all columns"."""
    return _PAGE_LESSER.get(resource.name, ())


class Table:
    """See the module. several: whether objects of more than one namespace are shown, which then comes first.

    searched: what ``q`` is looked for in beside what is printed.
    """

    def __init__(
        self,
        resource: Resource,
        printer: Printer,
        computed: Sequence[Computed] = (),
        *,
        several: bool,
        defaults: Sequence[str] = (),
        searched: Sequence[str] = (),
    ) -> None:
        """defaults: the columns that are shown when none are named, where those are not the printer's."""
        self.resource = resource
        self.printer = printer
        self.several = several
        self.printed = [_printed(printer, index) for index in range(len(printer.definitions))]
        if several:
            self.printed.insert(0, _NAMESPACE)
        self._others = [_computed(each) for each in computed]
        self._titles: dict[str, TableColumn] = {}
        # Other versions of the resource may print others.
        named = {column.name.casefold() for column in [*self.printed, *self._others]}
        self._defaults: list[TableColumn] = []
        for name in defaults:
            if name == ALL:
                self._defaults += [column for column in self.printed if column.priority == 0]
            elif name.casefold() in named:
                self._defaults.append(self.column(name))
        self.searched = [column for column in self._others if column.name in searched]

    @property
    def has_more(self) -> bool:
        """Whether ``wide`` shows more."""
        return len(self.default(wide=True)) > len(self.default(wide=False))

    @property
    def custom(self) -> bool:
        """Whether other columns than the printer's are shown by default."""
        return bool(self._defaults)

    @property
    def page_sort(self) -> str:
        """The column that a page is sorted by when nothing is asked for, "" for none."""
        name = _PAGE_SORT.get(self.resource.name, "")
        return name if any(column.name == name for column in self.printed) else ""

    @property
    def known(self) -> list[TableColumn]:
        """Every column that has a name of its own."""
        columns = [*self.printed, *self._others]
        named = {column.name.casefold() for column in columns}
        others = [_NAMESPACE] if self.resource.namespaced else []
        others += [_IMAGE] if self.resource.name in WORKLOADS and not self.resource.metadata_only else []
        return columns + [column for column in others if column.name.casefold() not in named]

    def line(self, held: Object, now: float) -> Line:
        return Line(held, self.printer, now)

    def shown(self, columns: str = "", *, wide: bool = False) -> list[TableColumn]:
        """Those that ``columns`` names, comma-separated; without any those that are shown by default.

        Their titles are known from then on. Raises ColumnError.
        """
        named = [each.strip() for each in split(columns)]
        found: list[TableColumn] = []
        for text in filter(None, named):
            found += self.default(wide=wide) if text == ALL else [self.titled(text)]
        if len(found) > MOST_COLUMNS:
            raise ColumnError(f"{len(found)} columns are too many: name at most {MOST_COLUMNS}")
        self._titles = {column.name.casefold(): column for column in reversed(found)}
        return found or self.default(wide=wide)

    def default(self, *, wide: bool) -> list[TableColumn]:
        """Those that are shown when none are named."""
        if self._defaults:
            named = {column.name for column in self._defaults}
            return self._defaults + [each for each in self.printed if wide and each.name not in named]
        return [column for column in self.printed if wide or column.priority == 0]

    def column(self, text: str) -> TableColumn:
        """The column of that name, whatever its case; in quotes where it has marks in it. Raises ColumnError."""
        text = unquoted(text)
        folded = text.casefold()
        known = self.known
        for column in known:
            if column.name.casefold() == folded:
                return column
        if folded in self._titles:
            return self._titles[folded]
        if folded.startswith(LABELS) and len(text) > len(LABELS):
            return _label(text[len(LABELS) :])
        if folded.startswith(ANNOTATIONS) and len(text) > len(ANNOTATIONS):
            return _annotation(text[len(ANNOTATIONS) :])
        if text.startswith((".", "{", "[", "$")):
            return _path(text)
        raise ColumnError(f'there is no column "{text}"', text, [column.name for column in known])

    def titled(self, text: str) -> TableColumn:
        """The column of ``Title=any of these``, or of a name alone. Raises ColumnError."""
        title, source = cut_title(text)
        column = self.column(source)
        return column._replace(name=title) if title else column


def _printed(printer: Printer, index: int) -> TableColumn:
    each = printer.definitions[index]

    def cell(line: Line) -> JSON | Ticking:
        cells = line.cells
        return cells[index] if index < len(cells) else None

    ages = printer.aging(index)
    kind = Kind.AGE if ages else kind_of(each.name, each.type)
    source = f"printed {index}"
    return TableColumn(each.name, each.type, each.description, each.priority, kind, cell, ages=ages, source=source)


def _computed(each: Computed) -> TableColumn:
    return TableColumn(
        each.name,
        each.type,
        each.description,
        each.priority,
        kind_of(each.name, each.type),
        lambda line: each.cell(line.held, line.now),
        pure=each.pure,
        decodes=True,
        source=f"computed {each.name}",
    )


def _label(name: str) -> TableColumn:
    return TableColumn(
        name.rpartition("/")[2],
        "string",
        f"Label {name}",
        0,
        kind_of(name.rpartition("/")[2], "string"),
        lambda line: line.held.labels.get(name),
        source=f"label {name}",
    )


def _annotation(name: str) -> TableColumn:
    def cell(line: Line) -> JSON:
        return (line.data["metadata"].get("annotations") or {}).get(name)

    title = name.rpartition("/")[2]
    told = f"Annotation {name}"
    return TableColumn(title, "string", told, 0, kind_of(title, "string"), cell, decodes=True, source=told)


def _path(text: str) -> TableColumn:
    inner = text[1:-1] if text.startswith("{") and text.endswith("}") else text
    if ".." in inner or inner.count("[?") > 2:
        # Each costs a walk through the whole object, for every object.
        raise ColumnError(f'"{text}" looks through everything: write the path')
    try:
        path = JSONPath(inner)
    except JSONPathError as error:
        raise ColumnError(f'"{text}" is no JSONPath: {error}') from None

    def cell(line: Line) -> JSON:
        try:
            found = path.find(line.data)
        except JSONPathError:
            return None
        plain = [None if each is None else printed(each) if isinstance(each, dict | list) else each for each in found]
        return plain[0] if len(plain) == 1 else plain or None

    words = [word for word in inner.replace("]", "").replace("[", ".").replace("'", "").split(".") if word]
    title = next((word for word in reversed(words) if word.replace("\\", "").isidentifier()), inner)
    told = f"JSONPath {text}"
    named = title[:1].upper() + title[1:]
    return TableColumn(named, "", told, 0, kind_of(title, ""), cell, decodes=True, source=told)


def _images(line: Line) -> JSON:
    pod = line.data.get("spec") or {}
    pod = (pod.get("jobTemplate") or {}).get("spec") or pod
    pod = (pod.get("template") or {}).get("spec") or pod
    containers = [*(pod.get("containers") or ()), *(pod.get("initContainers") or ())]
    return ",".join(each["image"] for each in containers if each.get("image")) or None


_NAMESPACE = TableColumn(NAMESPACE, "string", "", 0, Kind.TEXT, lambda line: line.held.namespace, source=NAMESPACE)
_IMAGE = TableColumn(
    "Image",
    "string",
    "Images of all containers, init containers too.",
    1,
    Kind.IMAGE,
    _images,
    decodes=True,
    source="Image",
)
