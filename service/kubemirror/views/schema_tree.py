"""A CustomResourceDefinition as people read it: its versions, their columns, and the schema as a tree of fields."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from kubemirror.views.fields import Fields, mapping, maps, text

# A page can show as many fields as this and still be read; the largest definitions have some thousands.
MOST_FIELDS = 3_000
# Deeper than any schema that a person wrote.
DEEPEST = 24


class Field(NamedTuple):
    """One field. type: as people say it (list of string). notes: default, allowed values, bounds."""

    name: str
    type: str
    required: bool
    description: str
    notes: tuple[str, ...]
    fields: tuple[Field, ...]


class DefinedColumn(NamedTuple):
    """One additionalPrinterColumn."""

    name: str
    type: str
    path: str
    priority: int
    description: str


class DefinedVersion(NamedTuple):
    """One version of a definition. left: how many fields are not among ``fields`` any more."""

    name: str
    served: bool
    storage: bool
    deprecated: bool
    warning: str
    subresources: tuple[str, ...]
    selectable: tuple[str, ...]
    columns: tuple[DefinedColumn, ...]
    fields: tuple[Field, ...]
    left: int


class Definition(NamedTuple):
    """What a CustomResourceDefinition defines."""

    group: str
    kind: str
    plural: str
    scope: str
    short_names: tuple[str, ...]
    categories: tuple[str, ...]
    versions: tuple[DefinedVersion, ...]

    @property
    def resource(self) -> str:
        """The name of the resource: ``foos.clux.dev``."""
        return f"{self.plural}.{self.group}"


def definition(data: Fields) -> Definition:
    """What ``data``, a decoded CustomResourceDefinition, defines; the storage version first."""
    names = mapping(data, "spec", "names")
    versions = sorted(
        maps(data, "spec", "versions"), key=lambda each: (not each.get("storage"), not each.get("served"))
    )
    return Definition(
        text(data, "spec", "group"),
        text(names, "kind"),
        text(names, "plural"),
        text(data, "spec", "scope"),
        _texts(names.get("shortNames")),
        _texts(names.get("categories")),
        tuple(map(_version, versions)),
    )


def _version(data: Fields) -> DefinedVersion:
    budget = _Budget(MOST_FIELDS)
    schema = mapping(data, "schema", "openAPIV3Schema")
    fields = _fields(schema, budget, 0)
    return DefinedVersion(
        text(data, "name"),
        data.get("served") is True,
        data.get("storage") is True,
        data.get("deprecated") is True,
        text(data, "deprecationWarning"),
        tuple(map(str, mapping(data, "subresources"))),
        tuple(text(each, "jsonPath") for each in maps(data, "selectableFields")),
        tuple(
            DefinedColumn(
                text(each, "name"),
                text(each, "type"),
                text(each, "jsonPath"),
                each["priority"] if type(each.get("priority")) is int else 0,
                text(each, "description"),
            )
            for each in maps(data, "additionalPrinterColumns")
        ),
        fields,
        budget.left_out,
    )


class _Budget:
    def __init__(self, most: int) -> None:
        self.most = most
        self.left_out = 0

    def take(self) -> bool:
        if self.most:
            self.most -= 1
            return True
        self.left_out += 1
        return False


def _fields(schema: Fields, budget: _Budget, depth: int) -> tuple[Field, ...]:
    required = set(_texts(schema.get("required")))
    found: list[Field] = []
    for name, each in mapping(schema, "properties").items():
        if not isinstance(each, dict) or not budget.take():
            continue
        below = _inner(each)
        inner = _fields(below, budget, depth + 1) if depth < DEEPEST else ()
        found.append(Field(str(name), _type(each), name in required, text(each, "description"), _notes(each), inner))
    return tuple(found)


def _inner(schema: Fields) -> Fields:
    """Where the fields of a field are: of the items of a list, or of the values of a map."""
    while not mapping(schema, "properties"):
        below = mapping(schema, "items") or mapping(schema, "additionalProperties")
        if not below:
            break
        schema = below
    return schema


def _type(schema: Fields) -> str:
    if schema.get("x-kubernetes-int-or-string") is True:
        return "integer or string"
    written = text(schema, "type") or "any"
    if written == "array":
        return f"list of {_type(mapping(schema, 'items'))}"
    if written == "object":
        values = mapping(schema, "additionalProperties")
        if values:
            return f"map of {_type(values)}"
        if schema.get("x-kubernetes-preserve-unknown-fields") is True:
            return "object with any fields"
    format_ = text(schema, "format")
    return f"{written} ({format_})" if format_ else written


# Keywords that bound a value, as they are said.
_BOUNDS = {
    "minimum": "at least",
    "maximum": "at most",
    "minLength": "characters at least",
    "maxLength": "characters at most",
    "minItems": "items at least",
    "maxItems": "items at most",
    "pattern": "matches",
}


def _notes(schema: Fields) -> tuple[str, ...]:
    found: list[str] = []
    allowed = schema.get("enum")
    if isinstance(allowed, list):
        found.append("one of " + ", ".join(map(_written, allowed)))
    if "default" in schema:
        found.append(f"default {_written(schema['default'])}")
    found += [f"{said} {_written(schema[keyword])}" for keyword, said in _BOUNDS.items() if keyword in schema]
    if schema.get("nullable") is True:
        found.append("may be null")
    found += [text(rule, "message") or text(rule, "rule") for rule in maps(schema, "x-kubernetes-validations")]
    return tuple(filter(None, found))


def _written(value: Any) -> str:
    return value if isinstance(value, str) and value else orjson.dumps(value).decode()


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()
