"""Accept headers, as the API server reads them (apiserver pkg/endpoints/handlers/negotiation).

Clauses are tried by falling ``q``, then in their order; the first that can be served wins. ``as``, ``g`` and
``v`` ask for a transformation (Table, PartialObjectMetadata), ``pretty=1`` for indentation; parameters nobody
knows are ignored. As there, names are told apart by case and quotes are part of a value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"


@dataclass(frozen=True, slots=True)
class Clause:
    """One media range of an Accept header."""

    type: str
    subtype: str
    parameters: Mapping[str, str]
    quality: float


@dataclass(frozen=True, slots=True)
class Transform:
    """What ``as``, ``v`` and ``g`` ask for."""

    kind: str
    version: str
    group: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """The winner: a media type of those offered, and how it is to be shaped."""

    media_type: str
    transform: Transform | None = None
    pretty: bool = False


def parse_accept(header: str) -> list[Clause]:
    """The clauses of an Accept header, best first; what is malformed is left out."""
    clauses: list[Clause] = []
    for part in header.split(","):
        media, *parameters = part.split(";")
        type_, slash, subtype = media.strip().partition("/")
        if type_ == "*" and not slash:
            subtype = "*"
        elif not slash or not type_ or not subtype:
            continue
        quality = 1.0
        values: dict[str, str] = {}
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            name, value = name.strip(), value.strip()
            if name == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 1.0
            elif name:
                values[name] = value
        clauses.append(Clause(type_, subtype, values, quality))
    clauses.sort(key=lambda clause: -clause.quality)  # stable: equals keep their order
    return clauses


def prefers_json(header: str) -> bool:
    """Whether JSON is named, and before a page is."""
    for clause in parse_accept(header):
        media = f"{clause.type}/{clause.subtype}".lower()
        if media in (JSON, "text/html"):
            return media == JSON
    return False


def negotiate(header: str | None, offers: Sequence[str], allows: Callable[[Transform], bool]) -> Accepted | None:
    """The first acceptable offer, or None (406). An absent or empty header takes the first offer."""
    if not header or not header.strip():
        return Accepted(offers[0])
    for clause in parse_accept(header):
        for offer in offers:
            type_, _, subtype = offer.partition("/")
            if not (
                (clause.type == type_ and clause.subtype in (subtype, "*"))
                or (clause.type == "*" and clause.subtype == "*")
            ):
                continue
            transform = None
            parameters = clause.parameters
            if parameters.get("as") or parameters.get("g") or parameters.get("v"):
                transform = Transform(parameters.get("as", ""), parameters.get("v", ""), parameters.get("g", ""))
                if not allows(transform):
                    continue
            return Accepted(offer, transform, parameters.get("pretty") == "1")
    return None


def names_type(header: str | None, types: Sequence[str]) -> bool:
    """Whether any clause names one of ``types`` literally or is ``*/*``: what upstream's router asks first."""
    if not header or not header.strip():
        return True
    for part in header.split(","):
        media = part.split(";", 1)[0].strip()
        if media == "*/*" or media in types:
            return True
    return False
