"""Tokens and certificates are rotated, ours and the server's: files are read again, and nothing is listed for it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trustme

from kubemirror.demo.users import TOKENS
from kubemirror.kube.credential_files import RECHECK_SECONDS
from kubemirror.state.events import Phase
from tests.cluster.control_plane import ControlPlane
from tests.contract.line import line_to
from tests.contract.mirrored import mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import Real
from tests.days.day import DEPLOYMENTS, Day

PATH = "/apis/apps/v1/namespaces/{}/deployments"

pytestmark = pytest.mark.timeout(120)


def issue(ca: trustme.CA, client: Path, user: str) -> None:
    """``<client>.crt`` and ``<client>.key``, one after the other, as whoever rotates them writes them."""
    issued = ca.issue_cert("client@example.com", common_name=user, organization_name="mirrors")
    issued.cert_chain_pems[0].write_to_path(f"{client}.crt")
    issued.private_key_pem.write_to_path(f"{client}.key")


async def test_our_token(day: Day, plane: ControlPlane, real: Real) -> None:
    path = PATH.format(await real.namespace())
    try:
        async with mirror_of(real) as mirrored:
            await real.done("POST", path, deployment("before"))
            reader = mirrored.held(DEPLOYMENTS)
            day.begins()
            plane.write_tokens(
                {("rotated" if token == "mirror-token" else token): who for token, who in TOKENS.items()}
            )
            plane.end_process("kube-apiserver", kill=True)
            await day.again()
            await real.done("POST", path, deployment("while-locked-out"))
            await mirrored.until(lambda: reader.statistics.errors["unauthorized"] > 0)
            assert (await mirrored.get(path)).status_code == 200

            plane.write_kubeconfig(real.kubeconfig("mirror-token"), token="rotated")
            await day.converged(mirrored)

            assert day.lists() == reader.statistics.relists["expired"] <= 1
    finally:
        plane.write_tokens(TOKENS)
        plane.end_process("kube-apiserver", kill=True)


async def test_the_servers_certificate_and_its_ca(day: Day, plane: ControlPlane, real: Real, tmp_path: Path) -> None:
    path = PATH.format(await real.namespace())
    async with mirror_of(real) as mirrored:
        await real.done("POST", path, deployment("before"))
        reader = mirrored.held(DEPLOYMENTS)
        day.begins()
        plane.end_process("kube-apiserver", kill=True)
        before = plane.certificate.read_bytes()
        for file in (plane.certificate, plane.certificate.with_suffix(".key")):
            file.unlink()
        await day.again()  # it makes itself new ones
        assert plane.certificate.read_bytes() != before

        day.real = Real(plane, tmp_path)
        try:
            await day.real.done("POST", path, deployment("after"))
            await day.converged(mirrored)
        finally:
            await day.real.close()

        assert day.lists() == reader.statistics.relists["expired"] <= 1


async def test_our_certificate_while_the_old_one_still_holds(
    day: Day, plane: ControlPlane, real: Real, tmp_path: Path
) -> None:
    """A watch that runs well is not cut for it; what is asked next is asked with the new one."""
    path = PATH.format(await real.namespace())
    ca = trustme.CA()
    plane.write_client_ca(ca)
    plane.end_process("kube-apiserver", kill=True)
    await day.again()
    client = tmp_path / "client"
    issue(ca, client, "mirror")
    kubeconfig = real.kubeconfig("mirror-token")
    passed = 0.0
    async with line_to(plane.url) as line:
        plane.write_kubeconfig(kubeconfig, client=client, server=line.url)
        async with mirror_of(real, kubeconfig=kubeconfig, clock=lambda: time.monotonic() + passed) as mirrored:
            reader = mirrored.held(DEPLOYMENTS)
            day.begins()
            issue(ca, client, "renewed")
            passed += RECHECK_SECONDS  # files are looked at this often
            written = await real.done("POST", path, deployment("after"))
            await mirrored.reaches(DEPLOYMENTS, written["metadata"]["resourceVersion"])
            assert reader.statistics.errors == {}

            line.cut()
            await mirrored.until(lambda: reader.phase is Phase.STALE)
            cut = time.monotonic()
            await real.done("POST", path, deployment("after-the-cut"))
            await day.converged(mirrored, since=cut)

            assert watchers(plane) == ["renewed"]
            assert day.lists() == day.lists(user="renewed") == 0


def watchers(plane: ControlPlane) -> list[str]:
    """Who has watched Deployments last, by the audit log."""
    asked = [each.user for each in plane.requests() if each.verb == "watch" and each.resource == DEPLOYMENTS]
    return asked[-1:]


async def test_our_certificate_and_whose_it_must_be(day: Day, plane: ControlPlane, real: Real, tmp_path: Path) -> None:
    path = PATH.format(await real.namespace())
    old, new = trustme.CA(), trustme.CA()
    plane.write_client_ca(old)
    plane.end_process("kube-apiserver", kill=True)
    await day.again()
    client = tmp_path / "client"
    issue(old, client, "mirror")
    kubeconfig = real.kubeconfig("mirror-token")
    plane.write_kubeconfig(kubeconfig, client=client)
    async with mirror_of(real, kubeconfig=kubeconfig) as mirrored:
        await real.done("POST", path, deployment("before"))
        reader = mirrored.held(DEPLOYMENTS)
        day.begins()
        plane.write_client_ca(new)
        plane.end_process("kube-apiserver", kill=True)
        await day.again()
        await real.done("POST", path, deployment("while-locked-out"))
        await mirrored.until(lambda: reader.statistics.errors["unauthorized"] > 0)

        issue(new, client, "mirror")
        await day.converged(mirrored)

        assert day.lists() == reader.statistics.relists["expired"] <= 1
