"""Field selectors, parsed as apimachinery's pkg/fields/selector.go parses them, error texts included.

Which fields can be selected is a table per kind upstream (pkg/apis/*/conversion.go), and so is what each one
stands for (pkg/registry/*/strategy.go): a few are computed, and some are accepted but never filled. Custom
resources name their own in ``selectableFields``. Values are read from the held bytes by a decoder that is
built for exactly the fields of one selector and skips the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec

from kubemirror.errors import SelectorError
from kubemirror.state.catalog import Resource
from kubemirror.state.label_selector import go_quote
from kubemirror.state.objects import Object

_NAME = "metadata.name"
_NAMESPACE = "metadata.namespace"

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """What a selectable field stands for.

    paths: where its value is looked for, the first that is not empty counts; () for one that upstream accepts
        and never fills. default: its text where it is absent.
    """

    paths: tuple[Path, ...]
    default: str = ""


def _at(path: str, *others: str, default: str = "") -> Field:
    return Field(tuple(tuple(each.split(".")) for each in (path, *others)), default)


def _plain(*paths: str) -> dict[str, Field]:
    return {path: _at(path) for path in paths}


@dataclass(frozen=True, slots=True)
class _Kind:
    fields: dict[str, Field]
    namespace: bool = True  # whether metadata.namespace may be asked for
    unsupported: str = "field label not supported: {}"


_DEFAULT = _Kind({}, unsupported='{quoted} is not a known field selector: only "metadata.name", "metadata.namespace"')
_POD = _Kind(
    {
        **_plain(
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.nominatedNodeName",
        ),
        "spec.host": _at("spec.nodeName"),  # clients of the oldest v1 ask so
        "spec.hostNetwork": _at("spec.hostNetwork", default="false"),
        "status.podIP": _at("status.podIP", "status.podIPs.0.ip"),
        "status.podIPs": Field(()),
    }
)
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_KINDS: dict[str, _Kind] = {
    "pods": _POD,
    "nodes": _Kind({"spec.unschedulable": _at("spec.unschedulable", default="false")}, namespace=False),
    "replicationcontrollers": _Kind({"status.replicas": _at("status.replicas", default="0")}),
    "namespaces": _Kind(_plain("status.phase"), namespace=False),
    "secrets": _Kind(_plain("type")),
    "services": _Kind(_plain("spec.clusterIP", "spec.type")),
    "events": _Kind(
        {
            **_plain(*(f"involvedObject.{name}" for name in _INVOLVED), "reason", "reportingComponent", "type"),
            "source": _at("source.component", "reportingComponent"),
        }
    ),
    "events.events.k8s.io": _Kind(
        {
            **{f"regarding.{name}": _at(f"regarding.{name}") for name in _INVOLVED},
            **_plain("reason", "reportingController", "type"),
        }
    ),
    "jobs.batch": _Kind(
        {"status.successful": _at("status.succeeded", default="0")},
        unsupported="field label {quoted} not supported for Job",
    ),
    "certificatesigningrequests.certificates.k8s.io": _Kind(_plain("spec.signerName"), namespace=False),
    "clustertrustbundles.certificates.k8s.io": _Kind(_plain("spec.signerName"), namespace=False),
    "podcertificaterequests.certificates.k8s.io": _Kind(
        _plain("spec.signerName", "spec.podName", "spec.nodeName"), namespace=False
    ),
    "resourceslices.resource.k8s.io": _Kind(
        _plain("spec.nodeName", "spec.driver"),
        namespace=False,
        unsupported="field label not supported for resource.k8s.io/{version}, Kind=ResourceSlice: {}",
    ),
}


def selectable_fields(resource: Resource, version: str) -> dict[str, Field]:
    """The fields of ``resource`` that can be selected, but metadata.name and metadata.namespace."""
    return _kind(resource, version).fields


def _kind(resource: Resource, version: str) -> _Kind:
    if not resource.custom:
        return _KINDS.get(resource.name, _DEFAULT)
    served = resource.served(version)
    names = () if served is None else served.selectable_fields
    return _Kind({name.removeprefix("."): _at(name.removeprefix(".")) for name in names}, resource.namespaced)


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a field selector."""

    field: str
    value: str
    equal: bool

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{'=' if self.equal else '!='}{value}"


_Test = Callable[[Object], bool]


class FieldSelector:
    """The AND of its terms, compiled once against one version of one resource."""

    __slots__ = ("_tests", "_text", "terms")

    def __init__(self, terms: tuple[Term, ...], fields: dict[str, Field]) -> None:
        self.terms = terms
        self._text = ",".join(map(str, terms))
        tests: list[_Test] = [_header_test(term) for term in terms if term.field in (_NAME, _NAMESPACE)]
        inside = [term for term in terms if term.field not in (_NAME, _NAMESPACE)]
        if inside:
            tests.append(_inside_test(inside, fields))
        self._tests = tuple(tests)

    @property
    def empty(self) -> bool:
        """Whether it selects everything."""
        return not self._tests

    @property
    def name(self) -> str | None:
        """The only name that can be selected, where there is one."""
        return self._required(_NAME)

    @property
    def namespace(self) -> str | None:
        """The only namespace that can be selected, where there is one."""
        return self._required(_NAMESPACE)

    def matches(self, held: Object) -> bool:
        """Whether ``held`` is selected."""
        return all(test(held) for test in self._tests)

    def _required(self, field: str) -> str | None:
        return next((term.value for term in self.terms if term.equal and term.field == field), None)

    def __str__(self) -> str:
        """The canonical text: terms sorted as upstream sorts them, values escaped."""
        return self._text

    def __repr__(self) -> str:
        return f"FieldSelector({self._text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSelector) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)


def parse_field_selector(text: str, resource: Resource, version: str) -> FieldSelector:
    """The selector of a ``fieldSelector`` parameter on ``resource`` as served in ``version``.

    "" selects everything. SelectorError in upstream's words where it does not parse, or names a field that
    cannot be selected there.
    """
    kind = _kind(resource, version)
    parsed = [_term(text, part) for part in sorted(_split(text), key=str.encode) if part]
    terms = [term for term in parsed if term.field or term.value]  # upstream's Transform drops what names nothing
    for term in terms:
        known = term.field in kind.fields or term.field == _NAME or (term.field == _NAMESPACE and kind.namespace)
        if not known:
            raise SelectorError(kind.unsupported.format(term.field, quoted=go_quote(term.field), version=version))
    return FieldSelector(tuple(terms), kind.fields)


def _split(text: str) -> Iterable[str]:
    start, escaped = 0, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            yield text[start:index]
            start = index + 1
    yield text[start:]


def _term(text: str, part: str) -> Term:
    for index, character in enumerate(part):
        if character == "=":
            width = 2 if part.startswith("==", index) else 1
            return Term(part[:index], _unescape(part[index + width :]), equal=True)
        if part.startswith("!=", index):
            return Term(part[:index], _unescape(part[index + 2 :]), equal=False)
    raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")


def _unescape(value: str) -> str:
    literal: list[str] = []
    escaped = False
    for character in value:
        if escaped:
            if character not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{character}")
            literal.append(character)
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(character)}")
        else:
            literal.append(character)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(literal)


# -- values -----------------------------------------------------------------------------------------------


def _header_test(term: Term) -> _Test:
    value, equal = term.value, term.equal
    if term.field == _NAME:
        return lambda held: (held.name == value) is equal
    return lambda held: (held.namespace == value) is equal


def _inside_test(terms: list[Term], fields: dict[str, Field]) -> _Test:
    read = field_reader(tuple(fields[term.field] for term in terms))

    def test(held: Object) -> bool:
        return all((value == term.value) is term.equal for term, value in zip(terms, read(held.raw), strict=True))

    return test


@lru_cache(maxsize=256)  # a decoder takes 100 us to build and is the same for every value asked for
def field_reader(fields: tuple[Field, ...]) -> Callable[[bytes], list[str]]:
    """A function from an object's bytes to the texts of ``fields``, as upstream's selectors see them."""
    paths = tuple(dict.fromkeys(path for field in fields for path in field.paths))
    decode = msgspec.json.Decoder(_structure(paths)).decode

    def read(raw: bytes) -> list[str]:
        try:
            decoded: Any = decode(raw)
        except msgspec.ValidationError:  # a custom resource's parent is no object: then nothing is below it
            decoded = msgspec.json.decode(raw)
        return [_value(decoded, field) for field in fields]

    return read


def _value(decoded: Any, field: Field) -> str:
    for path in field.paths:
        text = _text(_walk(decoded, path))
        if text:
            return text
    return field.default


def _walk(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(value, msgspec.Struct):
            value = getattr(value, _attribute(step), None)
        elif isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list):
            value = value[int(step)] if step.isdecimal() and int(step) < len(value) else None
        else:
            return None
    return value


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case float() if value.is_integer() and abs(value) < 1e21:  # the JSON said 1.0: Go prints 1
            return str(int(value))
        case _:
            return str(value)


def _attribute(step: str) -> str:
    return "f_" + step.encode().hex()


def _structure(paths: Iterable[Path]) -> Any:
    """A msgspec type that holds what is at ``paths`` and nothing else."""
    below: dict[str, list[Path]] = {}
    for path in paths:
        below.setdefault(path[0], []).append(path[1:])
    fields: list[tuple[str, Any, Any]] = []
    names: dict[str, str] = {}
    for step, rests in below.items():
        whole = any(not rest or rest[0].isdecimal() for rest in rests)
        inner = Any if whole else _structure(rests) | None
        fields.append((_attribute(step), inner, None))
        names[_attribute(step)] = step
    return msgspec.defstruct("Fields", fields, rename=names)
