"""What an API server does and the demo does not: it says so, with what to do instead."""

from __future__ import annotations

from tests.demo.api import DEPLOYMENTS, Client, deployment


async def test_server_side_apply(api: Client) -> None:
    await api("POST", DEPLOYMENTS, deployment())

    applied = await api("PATCH", f"{DEPLOYMENTS}/web", {}, content_type="application/apply-patch+yaml")

    assert (applied.status, applied.json()["reason"]) == (415, "UnsupportedMediaType")
    assert applied.json()["message"] == (
        "server-side apply is not offered by the demo cluster: use kubectl apply without --server-side"
    )
