"""What the pods may do, what they are told, and how kubelet asks after them."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

import httpx
import pytest

from kubemirror.app import check
from kubemirror.serve import answers, compressed, fastlane
from kubemirror.serve.application import application
from kubemirror.serve.lag import FATAL_SECONDS
from kubemirror.serve.pressure import HIGH
from kubemirror.settings import MIB, Access, Settings
from tests.deploy.manifests import DEPLOY, ROOT, Manifests, quantity
from tests.serve.world import World

# Files of their own: from a ConfigMap, or a Secret that was made for them.
_OWN = ({"name", "configMap"}, {"name", "secret"})
# Measured anew the figures move by a few per cent; documents need not follow each time.
SAME = 0.10


def test_pods_run_as_nobody_in_particular_without_any_privilege(manifests: Manifests) -> None:
    pod, container = manifests.pod["securityContext"], manifests.container["securityContext"]

    assert pod["runAsNonRoot"] is True
    assert min(pod["runAsUser"], pod["runAsGroup"]) >= 10_000
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_pods_share_nothing_with_their_node(manifests: Manifests) -> None:
    pod = manifests.pod

    assert [name for name in ("hostNetwork", "hostPID", "hostIPC", "initContainers") if name in pod] == []
    assert [volume for volume in pod.get("volumes", []) if set(volume) not in _OWN] == []
    assert "hostPort" not in manifests.container["ports"][0]


def test_the_image_runs_as_the_user_that_pods_run_as(base: Manifests) -> None:
    user = base.pod["securityContext"]

    assert f"\nUSER {user['runAsUser']}:{user['runAsGroup']}\n" in (ROOT / "Dockerfile").read_text()


def test_the_image_is_that_of_this_version(manifests: Manifests) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert manifests.container["image"] == f"kubemirror:{version}"


def test_only_the_service_accounts_token_is_given_to_them(manifests: Manifests) -> None:
    sources = [each["valueFrom"] for each in manifests.container.get("env", []) if "value" not in each]

    assert manifests.one("ServiceAccount")["automountServiceAccountToken"] is False
    # Who follows another mirror asks the API server nothing.
    assert manifests.pod["automountServiceAccountToken"] is (manifests.settings.kubeconfig is None)
    assert manifests.pod["serviceAccountName"] == "kubemirror"
    assert [each for each in sources if set(each) != {"fieldRef"}] == []
    assert "envFrom" not in manifests.container


def test_the_service_sets_no_variable_that_is_a_setting(manifests: Manifests) -> None:
    """A Service named kubemirror makes KUBEMIRROR_PORT=tcp://10.0.0.1:80 in its namespace, unless told not to."""
    assert manifests.one("Service")["metadata"]["name"].upper() + "_PORT" == "KUBEMIRROR_PORT"
    assert "port" in Settings.model_fields
    assert manifests.pod["enableServiceLinks"] is False


def test_the_command_takes_what_it_is_told(manifests: Manifests) -> None:
    settings = manifests.settings

    check(settings)  # raises for what the process would refuse
    assert manifests.container["args"][0] == "serve"
    assert settings.access not in (None, Access.LOCAL)
    assert settings.host == "0.0.0.0"
    assert [port["containerPort"] for port in manifests.container["ports"]] == [settings.port]
    assert not settings.demo


def test_it_ends_by_itself_before_kubelet_kills_it(manifests: Manifests) -> None:
    settings = manifests.settings

    assert {"--shutdown-seconds=20", "--shutdown-delay-seconds=5"} <= set(manifests.container["args"])
    assert settings.shutdown_delay_seconds < settings.shutdown_seconds
    assert settings.shutdown_seconds + 5 < manifests.pod["terminationGracePeriodSeconds"] == 30


@pytest.mark.parametrize(("synced", "ready"), [(True, 200), (False, 503)])
async def test_probes_ask_routes_of_which_one_alone_depends_on_the_api_server(
    manifests: Manifests, synced: bool, ready: int
) -> None:
    world = World()
    store = world.mirror()
    if synced:
        store.sync()
    container = manifests.container
    codes = {}
    transport = httpx.ASGITransport(application(world.context))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as client:
        for probe in ("startup", "liveness", "readiness"):
            get = container[f"{probe}Probe"]["httpGet"]
            assert get["port"] == container["ports"][0]["name"]
            codes[get["path"], probe] = (await client.get(get["path"])).status_code

    assert codes == {("/livez", "startup"): 200, ("/livez", "liveness"): 200, ("/readyz", "readiness"): ready}


def test_a_stall_that_passes_by_itself_restarts_nothing(manifests: Manifests) -> None:
    probe = manifests.container["livenessProbe"]

    assert (probe["failureThreshold"] - 1) * probe["periodSeconds"] >= FATAL_SECONDS


# Kept answers: each is only there once readers have asked for so much.
CACHES = answers.BUDGET_BYTES + compressed.BUDGET_BYTES + fastlane.BUDGET_BYTES
MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True)
class Measured:
    """Bytes resident with so many objects held, and those of the objects among them, as docs/performance.md has it."""

    resident: float
    held: float

    @property
    def history(self) -> float:
        """The bound of one store's, by the settings' default."""
        return max(Settings().journal_bytes, self.held / 2)


def measured(objects: int) -> Measured:
    row = rf"^\| {objects:,} held: resident \| ([\d.]+) MB \|.*; ([\d.]+) MB of bytes held \|$"
    ((resident, held),) = re.findall(row, (ROOT / "docs" / "performance.md").read_text(), re.MULTILINE)
    return Measured(float(resident) * MEGABYTE, float(held) * MEGABYTE)


def once_asked() -> float:
    """Bytes resident with 10,000 held, in a mirror that has answered what `make bench` asks."""
    report = (ROOT / "docs" / "performance.md").read_text()
    (megabytes,) = re.findall(r"^\| 10,000: resident \| ([\d.]+) MB \|", report, re.MULTILINE)
    return float(megabytes) * MEGABYTE


def test_memory_is_what_was_measured(manifests: Manifests) -> None:
    resources = manifests.container["resources"]
    request, limit = quantity(resources["requests"]["memory"]), quantity(resources["limits"]["memory"])
    mirror = measured(10_000)

    assert manifests.settings.journal_bytes == Settings().journal_bytes
    assert request > once_asked() + mirror.history
    assert limit * HIGH > mirror.resident + mirror.history + CACHES  # before streams are refused
    assert measured(100_000).resident > request  # who holds as much has to raise it, and the file says so
    assert resources["requests"]["cpu"]
    assert int(resources["limits"]["cpu"]) > 1  # one core is the process' own


def test_sizing_tells_what_was_measured_and_what_fits(base: Manifests) -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    table = re.findall(r"^\| ([\d,]+) \| (\d+) MB \| (\w+)[^|]*\| (\w+)[^|]*\|$", text, re.MULTILINE)
    resources = base.container["resources"]
    (asked,) = re.findall(r"the first is at (\d+) MB once all of it has been asked for", text)

    assert float(asked) * MEGABYTE == pytest.approx(once_asked(), rel=SAME)
    assert [objects for objects, *_ in table] == ["10,000", "100,000"]
    assert list(table[0][2:]) == [resources["requests"]["memory"], resources["limits"]["memory"]]
    for objects, resident, request, limit in table:
        mirror = measured(int(objects.replace(",", "")))
        assert float(resident) * MEGABYTE == pytest.approx(mirror.resident, rel=SAME)
        assert quantity(request) > mirror.resident + mirror.history
        assert quantity(limit) * HIGH > mirror.resident + mirror.history + CACHES
    mebibytes = [each.BUDGET_BYTES // MIB for each in (answers, compressed, fastlane)]
    kept = "{} MiB finished, {} MiB of compressed lists, {} MiB in the fast lane".format(*mebibytes)
    assert f"{CACHES // MIB} MiB of answers that are kept for the next reader: {kept}" in " ".join(text.split())


def test_the_manifest_tells_what_was_measured() -> None:
    told = " ".join((DEPLOY / "base" / "deployment.yaml").read_text().replace("#", " ").split())
    ((empty, ten, asked, hundred),) = re.findall(
        r"Measured: (\d+) MB empty, (\d+) MB with 10,000 Deployments, (\d+) MB once .*?, (\d+) MB with 100,000 ", told
    )
    (larger,) = re.findall(r" 100,000 objects want (\w+)\.", told)
    report = (ROOT / "docs" / "performance.md").read_text()
    (nothing,) = re.findall(r"^\| empty mirror: resident \| ([\d.]+) MB \|", report, re.MULTILINE)

    assert float(empty) == pytest.approx(float(nothing), rel=SAME)
    assert float(ten) * MEGABYTE == pytest.approx(measured(10_000).resident, rel=SAME)
    assert float(asked) * MEGABYTE == pytest.approx(once_asked(), rel=SAME)
    assert float(hundred) * MEGABYTE == pytest.approx(measured(100_000).resident, rel=SAME)
    assert quantity(larger) * HIGH > measured(100_000).resident + measured(100_000).history + CACHES


def test_replicas_are_spread_and_never_all_away_at_once(manifests: Manifests) -> None:
    deployment, budget = manifests.one("Deployment")["spec"], manifests.one("PodDisruptionBudget")["spec"]
    labels = deployment["template"]["metadata"]["labels"]

    assert deployment["replicas"] > budget["maxUnavailable"] >= 1
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert budget["selector"] == deployment["selector"] == {"matchLabels": labels}
    assert [each["topologyKey"] for each in manifests.pod["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
    ]
    assert all(each["labelSelector"]["matchLabels"] == labels for each in manifests.pod["topologySpreadConstraints"])
