"""deploy/components/tls: behind any overlay the pods serve a certificate, and are probed by what they then speak."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.deploy.manifests import OVERLAYS, Manifests, rendered
from tests.deploy.test_overlays import joining

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")
SERVED = ("Deployment", "Service", "ServiceMonitor")


@pytest.fixture(params=OVERLAYS)
def pair(
    request: pytest.FixtureRequest, kubectl: str, renderings: dict[str, Manifests], tmp_path: Path
) -> tuple[Manifests, Manifests]:
    """An overlay, and the same with TLS."""
    namespace = "team-a" if request.param == "namespaced" else None
    return renderings[request.param], rendered(kubectl, joining(tmp_path, [request.param, "tls"], namespace))


def schemes(container: dict[str, Any]) -> list[str]:
    return [container[probe]["httpGet"].get("scheme", "HTTP") for probe in PROBES]


def test_it_serves_the_certificate_of_a_secret_and_is_probed_by_https(pair: tuple[Manifests, Manifests]) -> None:
    plain, secure = pair
    (mount,) = [each for each in secure.container["volumeMounts"] if each["name"] == "tls"]
    (volume,) = [each for each in secure.pod["volumes"] if each["name"] == "tls"]
    cert, key = secure.settings.tls_cert, secure.settings.tls_key
    assert cert is not None
    assert key is not None

    assert {str(cert.parent), str(key.parent)} == {mount["mountPath"]}
    assert (cert.name, key.name) == ("tls.crt", "tls.key")  # as a Secret of the type kubernetes.io/tls has them
    assert mount["readOnly"]
    assert volume["secret"]["secretName"] not in secure.of_kind("Secret")
    assert (schemes(plain.container), schemes(secure.container)) == (["HTTP"] * 3, ["HTTPS"] * 3)
    (port,), (before,) = (each.one("Service")["spec"]["ports"] for each in (secure, plain))
    assert (port["port"], port["appProtocol"]) == (443, "https")
    assert (port["name"], port["targetPort"]) == (before["name"], before["targetPort"])


def test_and_nothing_else_is_changed(pair: tuple[Manifests, Manifests]) -> None:
    plain, secure = pair
    mounts = [each["mountPath"] for each in secure.container["volumeMounts"]]

    assert [each for each in secure.documents if each["kind"] not in SERVED] == [
        each for each in plain.documents if each["kind"] not in SERVED
    ]
    for name, deployment in plain.of_kind("Deployment").items():
        if name != "kubemirror":  # the tree's root, which its leaves find by HTTP
            assert secure.one("Deployment", name) == deployment
            assert secure.one("Service", name) == plain.one("Service", name)
    for kept in ("args", "env", "volumeMounts"):
        assert [each for each in plain.container.get(kept, ()) if each not in secure.container[kept]] == []
    assert [each for each in plain.pod.get("volumes", ()) if each not in secure.pod["volumes"]] == []
    # Nothing can be mounted into a volume that is mounted for reading only.
    assert not any(one != other and one.startswith(f"{other}/") for one in mounts for other in mounts)


def test_prometheus_scrapes_by_what_is_served(kubectl: str, renderings: dict[str, Manifests], tmp_path: Path) -> None:
    secure = rendered(kubectl, joining(tmp_path, ["monitoring", "tls"], None))
    (plain,) = renderings["monitoring"].one("ServiceMonitor")["spec"]["endpoints"]
    (endpoint,) = secure.one("ServiceMonitor")["spec"]["endpoints"]
    (volume,) = secure.pod["volumes"]

    assert "scheme" not in plain
    assert endpoint["scheme"] == "https"
    assert endpoint["tlsConfig"]["ca"]["secret"]["name"] == volume["secret"]["secretName"]
    assert endpoint["tlsConfig"]["serverName"] == "kubemirror.kubemirror.svc"
