"""What kubectl's typed commands send: protobuf, decoded into the JSON form (answered: tests/contract)."""

from __future__ import annotations

import contextlib

from hypothesis import given
from hypothesis import strategies as st

from kubemirror.demo.protobuf import ProtobufError, decode
from tests.contract.recorded import CREATE_DEPLOYMENT


def test_a_deployment_is_read() -> None:
    assert decode(CREATE_DEPLOYMENT) == {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "namespace": "demo2", "labels": {"app": "web"}},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "nginx", "image": "nginx:1.25"}]},
            },
        },
    }


@given(st.binary(max_size=200), st.integers(0, len(CREATE_DEPLOYMENT)))
def test_junk_raises_one_error_only(junk: bytes, place: int) -> None:
    for body in (b"k8s\x00" + junk, CREATE_DEPLOYMENT[:place] + junk + CREATE_DEPLOYMENT[place:]):
        with contextlib.suppress(ProtobufError):
            assert isinstance(decode(body), dict)
