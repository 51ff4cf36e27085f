"""Discovery, version and OpenAPI: the API server's documents, cut to what is mirrored and can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from tests.beside.comparing import Aside, compare, cut, read, same
from tests.beside.corpus import AGGREGATED, AGGREGATED_BETA, JSON, YAML, transformed
from tests.beside.pair import Answer, Pair

V9 = transformed("APIGroupDiscoveryList", "v9", "apidiscovery.k8s.io")
V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"


def both(pair: Pair, target: str, accept: str = JSON, **headers: str) -> tuple[Answer, Answer]:
    sent = {"Accept": accept, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return pair.ask(target, headers=sent)


@pytest.mark.parametrize("path", ["/api", "/apis"])
@pytest.mark.parametrize(
    "accept",
    [AGGREGATED, f"{AGGREGATED},{AGGREGATED_BETA},{JSON}", f"{AGGREGATED},{JSON}", JSON, YAML, "*/*", "text/html", V9],
)
def test_the_roots_are_the_servers_in_each_form(pair: Pair, path: str, accept: str) -> None:
    theirs, ours = both(pair, path, accept)

    compare(theirs, ours)


def test_each_group_and_version_is_the_servers(pair: Pair) -> None:
    groups = read(pair.ask("/apis", headers={"Accept": JSON})[0].body)
    paths = ["/api/v1"]
    for group in cut(groups).get("groups"):
        paths.append(f"/apis/{group.get('name')}")
        paths += [f"/apis/{version.get('groupVersion')}" for version in group.get("versions")]
    assert len(paths) > 30
    for path in paths:
        compare(*both(pair, path))


@pytest.mark.parametrize("path", ["/api", "/apis"])
def test_an_etag_is_answered_with_304(pair: Pair, path: str) -> None:
    theirs, ours = both(pair, path, AGGREGATED)
    known = [{"Accept": AGGREGATED, "If-None-Match": answer.headers["etag"]} for answer in (theirs, ours)]

    again = pair.ask(path, headers=known[1], theirs=known[0])

    assert [answer.status for answer in again] == [304, 304]
    assert len(ours.headers["etag"]) == len(theirs.headers["etag"])
    assert compared(again[1].headers) == compared(again[0].headers)
    assert [answer.status for answer in both(pair, path, AGGREGATED, If_None_Match='"another"')] == [200, 200]


def compared(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: headers[name] for name in ("content-type", "cache-control", "vary") if name in headers}


def test_older_clients_are_given_the_same_in_v2beta1(pair: Pair) -> None:
    """The API server of 1.33 and later has no such form any more."""
    for path in ("/api", "/apis"):
        newer = pair.ours(path, headers={"Accept": AGGREGATED})
        older = pair.ours(path, headers={"Accept": f"{AGGREGATED_BETA},{JSON}"})

        assert older.headers["content-type"] == f"{JSON};g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
        same(read(newer.body).put("apiVersion", "apidiscovery.k8s.io/v2beta1"), read(older.body))


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/openapi/v2", JSON), ("/openapi/v2", V2_PROTOBUF), ("/openapi/v2", "*/*"), ("/openapi/v2", "text/html"),
        ("/openapi/v3", JSON), ("/openapi/v3", "text/html"), ("/openapi/v3/api/v1", JSON),
        ("/openapi/v3/apis/apps/v1", JSON), ("/openapi/v3/apis/apps/v1", V3_PROTOBUF),
        ("/openapi/v3/apis/apps/v1", YAML), ("/openapi/v3/apis/example.dev/v1", JSON),
        ("/openapi/v3/apis/nothing/v1", JSON), ("/version", JSON), ("/version", "text/html"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_a_document_is_passed_on(pair: Pair, path: str, accept: str, encoding: str) -> None:
    theirs, ours = both(pair, path, accept, Accept_Encoding=encoding)

    assert (ours.status, ours.body, ours.encoding) == (theirs.status, theirs.body, theirs.encoding)
    assert compared(ours.headers) == compared(theirs.headers)
    if "etag" in theirs.headers:
        assert ours.headers["etag"] == theirs.headers["etag"]


def test_a_document_named_by_its_hash_may_be_kept_for_ever(pair: Pair) -> None:
    index = json.loads(both(pair, "/openapi/v3")[1].body)
    for name in ("api/v1", "apis/apps/v1", "apis/example.dev/v1"):
        target = index["paths"][name]["serverRelativeURL"]
        theirs, ours = both(pair, target)
        compare(theirs, ours, Aside(etag=False))
        assert ours.headers["cache-control"] == "public, immutable"
        etag = ours.headers["etag"]
        known = both(pair, target.partition("?")[0], If_None_Match=etag)
        assert [answer.status for answer in known] == [304, 304]
        assert compared(known[1].headers) == compared(known[0].headers)


def test_another_hash_is_told_where_the_document_is(pair: Pair) -> None:
    theirs, ours = both(pair, "/openapi/v3/apis/apps/v1?hash=ABC")

    assert (ours.status, ours.body) == (theirs.status, theirs.body) == (301, b"")
    assert ours.headers["location"] == theirs.headers["location"]
    assert compared(ours.headers) == compared(theirs.headers)


REVIEWS = {
    "SelfSubjectAccessReview": "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
    "SelfSubjectRulesReview": "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    "SelfSubjectReview": "/apis/authentication.k8s.io/v1/selfsubjectreviews",
}
ABOUT_PODS = {"resource": "pods", "verb": "list", "namespace": "team-a", "group": "", "name": ""}
SELECTED = {**ABOUT_PODS, "labelSelector": {"requirements": [{"key": "a", "operator": "Exists"}]}}
ABOUT_A_PATH = {"verb": "get", "path": "/apis"}


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("SelfSubjectAccessReview", {"resourceAttributes": ABOUT_PODS}),
        ("SelfSubjectAccessReview", {"resourceAttributes": SELECTED}),
        ("SelfSubjectAccessReview", {"nonResourceAttributes": ABOUT_A_PATH}),
        ("SelfSubjectAccessReview", {"nonResourceAttributes": ABOUT_A_PATH, "resourceAttributes": ABOUT_PODS}),
        ("SelfSubjectAccessReview", {}),
        ("SelfSubjectRulesReview", {"namespace": "team-a"}),
        ("SelfSubjectRulesReview", {}),
        ("SelfSubjectReview", None),
    ],
)
def test_a_review_of_oneself_is_answered_in_the_servers_form(pair: Pair, kind: str, spec: object) -> None:
    """What it says is this mirror's own: who may see what here."""
    path = REVIEWS[kind]
    review = {"kind": kind, "apiVersion": path.removeprefix("/apis/").rpartition("/")[0]}
    body = json.dumps(review if spec is None else {**review, "spec": spec}).encode()

    theirs, ours = pair.ask(path, method="POST", headers={"Accept": JSON, "Content-Type": JSON}, body=body)

    assert (ours.status, compared(ours.headers)) == (theirs.status, compared(theirs.headers)), ours.body
    expected, own = read(theirs.body), read(ours.body)
    if theirs.status == 201:
        for name in ("metadata", "status"):
            expected, own = expected.put(name, None), own.put(name, None)
    same(expected, own)


def test_a_review_that_is_none_is_refused_as_the_server_refuses_it(pair: Pair) -> None:
    path = REVIEWS["SelfSubjectAccessReview"]

    compare(*pair.ask(path, method="POST", headers={"Content-Type": JSON}, body=b""))
    compare(*pair.ask(path, method="POST", headers={"Content-Type": "text/plain"}, body=b"{}"))
