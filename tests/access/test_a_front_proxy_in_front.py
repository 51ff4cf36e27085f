"""nginx as docs/access.md has it, before a mirror of a real API server: whoever signed in is answered as there."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import httpx
import pytest

from kubemirror.settings import Access
from tests.access.cluster import READ, cluster_of, guarded
from tests.cluster.control_plane import ControlPlane
from tests.cluster.programs import require
from tests.ship.nginx import nginx
from tests.ship.repository import ROOT

SECRET = "s" * 44
# What kubectl asks before anything else.
PUBLIC = ("/api", "/apis", "/api/v1", "/apis/apps/v1", "/openapi/v3", "/version")


def documented(user: str) -> str:
    """The lines of docs/access.md, but for where the sign-in is and who is signed in."""
    (block,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "access.md").read_text(), re.DOTALL)
    lines = [line for line in block.splitlines() if line.startswith("    ") and "proxy_pass" not in line]
    assert sum("auth_request" in line for line in lines) == 2
    kept = [line.replace("…", SECRET) for line in lines if "auth_request" not in line]
    return "\n".join([f"    set $user {user};", *kept])


@pytest.mark.timeout(120)
async def test_a_client_behind_the_documented_nginx_is_who_it_signed_in_as(
    control_plane: ControlPlane, tmp_path: Path, free_port: int
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    settings = {"access": Access.PROXY, "proxy_secret_file": secret}
    async with (
        cluster_of(control_plane, tmp_path) as cluster,
        guarded(cluster.real, **settings) as (_, live),
        nginx(live, tmp_path, free_port, documented("alice")) as address,
        httpx.AsyncClient(base_url=f"http://{address}", timeout=30, trust_env=False) as client,
    ):
        await cluster.grant("alice", [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": READ}], cluster.a)
        binding = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{cluster.a}/rolebindings/{cluster.a}-alice"
        alice = {"subjects": [{"kind": "User", "name": "alice", "apiGroup": "rbac.authorization.k8s.io"}]}
        await cluster.real.patch(binding, alice)
        acting = {"impersonate-user": "alice"}
        own = f"/apis/apps/v1/namespaces/{cluster.a}/deployments"
        await cluster.real.until(own, lambda answer: answer.status_code == 200, headers=acting)

        codes = {
            path: ((await client.get(path)).status_code, (await cluster.real("GET", path, headers=acting)).status_code)
            for path in (*PUBLIC, own, "/apis/apps/v1/deployments", "/metrics")
        }
        review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        forged = {"x-remote-user": "root", "x-remote-group": "system:masters", "x-remote-uid": "0"}
        odd = {"x_remote_user": "root", "x_remote_group": "system:masters", "x-remote-extra-scop%65s": "root"}
        who = await client.post(review, json={}, headers={**forged, **odd})
        extra = await client.get("/versions", headers={"x-remote-extra-scopes": "root"})
        listed = await kubectl(tmp_path, "--server", f"http://{address}", "get", "deployments", "-n", cluster.a)

    expected = dict.fromkeys((*PUBLIC, own), (200, 200))
    assert codes == expected | dict.fromkeys(("/apis/apps/v1/deployments", "/metrics"), (403, 403))
    assert who.json()["status"]["userInfo"] == {"username": "alice", "groups": ["system:authenticated"]}
    assert extra.status_code == 401
    assert "web" in listed


async def kubectl(home: Path, *arguments: str) -> str:
    """What it prints; it must succeed."""
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(home / "none")}
    running = await asyncio.create_subprocess_exec(
        str(require("kubectl")),
        *arguments,
        env=env,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, said = await running.communicate()
    assert running.returncode == 0, said.decode()
    return printed.decode()
