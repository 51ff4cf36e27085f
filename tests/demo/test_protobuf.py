"""What kubectl's typed commands send: protobuf, decoded into the JSON form."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubemirror.demo.protobuf import MEDIA_TYPE, ProtobufError, decode
from tests.demo.api import DEPLOYMENTS, Client

# kubectl 1.36: create deployment web --image nginx:1.25 --replicas 3 -n demo2
CREATE_DEPLOYMENT = (
    b'k8s\x00\n\x15\n\x07apps/v1\x12\nDeployment\x12\xb5\x01\n$\n\x03web\x12\x00\x1a\x05demo2"\x00*\x002\x008\x00B\x00'
    b'Z\n\n\x03app\x12\x03web\x12\x7f\x08\x03\x12\x0c\n\n\n\x03app\x12\x03web\x1ae\n\x1c\n\x00\x12\x00\x1a\x00"\x00*\x00'
    b"2\x008\x00B\x00Z\n\n\x03app\x12\x03web\x12E\x12'\n\x05nginx\x12\nnginx:1.25*\x00B\x00j\x00r\x00\x80\x01\x00\x88\x01"
    b"\x00\x90\x01\x00\xa2\x01\x00\x1a\x002\x00B\x00J\x00R\x00X\x00`\x00h\x00\x82\x01\x00\x8a\x01\x00\x9a\x01\x00\xc2\x01"
    b'\x00"\x02\n\x00(\x008\x00\x1a\x0c\x08\x00\x10\x00\x18\x00 \x00(\x008\x00\x1a\x00"\x00'
)
# kubectl 1.36: create ns demo2; auth whoami; auth can-i list pods
CREATE_NAMESPACE = (
    b'k8s\x00\n\x0f\n\x02v1\x12\tNamespace\x12\x1d\n\x15\n\x05demo2\x12\x00\x1a\x00"\x00*\x002\x008\x00B\x00\x12\x00'
    b'\x1a\x02\n\x00\x1a\x00"\x00'
)
WHO_AM_I = (
    b'k8s\x00\n-\n\x18authentication.k8s.io/v1\x12\x11SelfSubjectReview\x12\x1a\n\x10\n\x00\x12\x00\x1a\x00"\x00*\x002\x00'
    b'8\x00B\x00\x12\x06\n\x04\n\x00\x12\x00\x1a\x00"\x00'
)
CAN_I = (
    b'k8s\x00\n2\n\x17authorization.k8s.io/v1\x12\x17SelfSubjectAccessReview\x12=\n\x10\n\x00\x12\x00\x1a\x00"\x00*\x002'
    b'\x008\x00B\x00\x12\x1f\n\x1d\n\x07default\x12\x04list\x1a\x00"\x00*\x04pods2\x00:\x00\x1a\x08\x08\x00\x12\x00\x1a'
    b'\x00 \x00\x1a\x00"\x00'
)


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


async def test_kubectls_typed_commands_are_answered(api: Client) -> None:
    namespace = await api("POST", "/api/v1/namespaces", CREATE_NAMESPACE, content_type=MEDIA_TYPE)
    created = await api("POST", DEPLOYMENTS.replace("default", "demo2"), CREATE_DEPLOYMENT, content_type=MEDIA_TYPE)
    who = await api("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", WHO_AM_I, content_type=MEDIA_TYPE)
    can = await api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", CAN_I, content_type=MEDIA_TYPE)

    assert [answer.status for answer in (namespace, created, who, can)] == [201] * 4
    assert created.json()["spec"]["replicas"] == 3
    assert who.json()["status"]["userInfo"]["username"] == "system:anonymous"
    assert can.json()["spec"]["resourceAttributes"] == {"namespace": "default", "verb": "list", "resource": "pods"}
    assert can.json()["status"] == {"allowed": True}


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"k8s\x00", CREATE_DEPLOYMENT[:40], CREATE_DEPLOYMENT.replace(b"apps/v1", b"beta/v1")]
)
async def test_what_is_no_protobuf_is_refused(api: Client, body: bytes) -> None:
    answer = await api("POST", DEPLOYMENTS, body, content_type=MEDIA_TYPE)

    assert answer.status == 400
    assert "the object provided is unrecognized (must be of type Deployment)" in answer.json()["message"]


@given(st.binary(max_size=200), st.integers(0, len(CREATE_DEPLOYMENT)))
def test_junk_raises_one_error_only(junk: bytes, place: int) -> None:
    for body in (b"k8s\x00" + junk, CREATE_DEPLOYMENT[:place] + junk + CREATE_DEPLOYMENT[place:]):
        with contextlib.suppress(ProtobufError):
            assert isinstance(decode(body), dict)
