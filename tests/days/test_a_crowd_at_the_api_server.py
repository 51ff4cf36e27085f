"""API priority and fairness turns us away with 429: we come back as it says, and list nothing for it."""

from __future__ import annotations

import asyncio
import itertools
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from tests.cluster.control_plane import ControlPlane
from tests.contract.line import line_to
from tests.contract.mirrored import mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import Real
from tests.days.day import DEPLOYMENTS, Day

PATH = "/apis/apps/v1/namespaces/{}/deployments"
FLOW = "/apis/flowcontrol.apiserver.k8s.io/v1"
# How long nobody is let in: some turns of Retry-After, which is 1 s at first.
CROWDED_SECONDS = 8.0
# An API server takes in what was written about flows within some seconds, and tells of each answer what it matched.
TAKEN_IN_SECONDS = 20.0
MATCHED = "x-kubernetes-pf-flowschema-uid"

pytestmark = pytest.mark.timeout(120)

NOBODY = {
    "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
    "kind": "PriorityLevelConfiguration",
    "metadata": {"name": "nobody"},
    "spec": {
        "type": "Limited",
        "limited": {
            "nominalConcurrencyShares": 0,
            "borrowingLimitPercent": 0,
            "lendablePercent": 0,
            "limitResponse": {"type": "Reject"},
        },
    },
}
UNFINISHED = (
    b"POST /apis/authorization.k8s.io/v1/selfsubjectaccessreviews HTTP/1.1\r\nHost: x\r\n"
    b"Authorization: Bearer mirror-token\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
)
US: dict[str, Any] = {
    "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
    "kind": "FlowSchema",
    "metadata": {"name": "mirrors"},
    "spec": {
        "matchingPrecedence": 2,
        "priorityLevelConfiguration": {"name": "nobody"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "mirror"}}],
                "resourceRules": [
                    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
                ],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["/version"]}],
            }
        ],
    },
}


@asynccontextmanager
async def crowded(real: Real) -> AsyncIterator[None]:
    """With the only seat of the mirror's user taken, by a request whose body does not come."""
    await real.done("POST", f"{FLOW}/prioritylevelconfigurations", NOBODY)
    schema = await real.done("POST", f"{FLOW}/flowschemas", US)
    async with asyncio.timeout(TAKEN_IN_SECONDS):
        while (await ask(real)).headers.get(MATCHED) != schema["metadata"]["uid"]:
            pass
    trust = ssl.create_default_context(cafile=str(real.plane.certificate))
    _, writer = await asyncio.open_connection("127.0.0.1", real.plane.port, ssl=trust)
    writer.write(UNFINISHED)
    try:
        await answered(real, 429)
        yield
    finally:
        writer.transport.abort()
        await real.done("DELETE", f"{FLOW}/flowschemas/mirrors")
        await real.done("DELETE", f"{FLOW}/prioritylevelconfigurations/nobody")
        await answered(real, 200)


async def ask(real: Real) -> httpx.Response:
    """A request of the mirror's user."""
    return await real("GET", "/version", token="mirror-token")


async def answered(real: Real, code: int) -> None:
    """Wait until the API server answers so: a seat was taken or left, or a rule is no more."""
    async with asyncio.timeout(TAKEN_IN_SECONDS):
        while (await ask(real)).status_code != code:
            pass


def refused_at(plane: ControlPlane) -> list[float]:
    """When our watch of Deployments was turned away, by the audit log."""
    return [
        each.received
        for each in plane.requests()
        if (each.verb, each.resource, each.code) == ("watch", DEPLOYMENTS, 429) and each.stage == "ResponseComplete"
    ]


async def test_turned_away_and_let_in_again(day: Day, plane: ControlPlane, real: Real) -> None:
    namespace = await real.namespace()
    path = PATH.format(namespace)
    kubeconfig = real.kubeconfig("mirror-token")
    async with line_to(plane.url) as line:
        plane.write_kubeconfig(kubeconfig, token="mirror-token", server=line.url)
        async with mirror_of(real, kubeconfig=kubeconfig) as mirrored:
            written = await real.done("POST", path, deployment("before"))
            reader = await mirrored.reaches(DEPLOYMENTS, written["metadata"]["resourceVersion"])
            day.begins()
            async with crowded(real):
                line.cut()
                await mirrored.until(lambda: "429" in reader.reason)
                await real.done("POST", path, deployment("meanwhile"))
                await asyncio.sleep(CROWDED_SECONDS)
                answer = await mirrored.get(path)
                assert (answer.status_code, len(answer.json()["items"])) == (200, 1)
                assert "detail=STALE" in answer.headers["cache-status"]
                waits = [later - earlier for earlier, later in itertools.pairwise(refused_at(plane))]
            await day.converged(mirrored)

            print(f"waits between refusals: {[round(wait, 1) for wait in waits]}")
            assert len(waits) >= 3
            assert all(1.0 <= wait < 3.0 for wait in waits)
            assert day.lists() == 0
            assert reader.get("meanwhile", namespace) is not None
