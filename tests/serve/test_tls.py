"""TLS to readers: a certificate is replaced under open connections, a bad one is not taken, or one is made here."""

from __future__ import annotations

import asyncio
import json
import ssl
import stat
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import structlog.testing
import trustme
import yaml
from cryptography import x509
from trustme import KeyType

from kubemirror.__main__ import main
from kubemirror.errors import ConfigError
from kubemirror.serve import self_signed
from kubemirror.serve.certificate import Certificate, certificate_of, read_pair
from kubemirror.settings import Settings
from tests.serve.live import Lines, Live, running
from tests.serve.process import serving
from tests.serve.world import Store, World


class Files:
    """Where a mirror's pair lies."""

    def __init__(self, folder: Path) -> None:
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"

    def put(self, issued: trustme.LeafCert) -> None:
        self.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        self.key.write_bytes(issued.private_key_pem.bytes())

    def read(self) -> Certificate:
        return Certificate(read_pair(self.certificate, self.key), (self.certificate, self.key))

    @property
    def flags(self) -> tuple[str, ...]:
        return "--tls-cert", str(self.certificate), "--tls-key", str(self.key)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture(scope="module")
def ca() -> trustme.CA:
    return trustme.CA(key_type=KeyType.ECDSA)


@pytest.fixture(scope="module")
def other_ca() -> trustme.CA:
    return trustme.CA(key_type=KeyType.RSA)


def trusting(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(cadata=ca.cert_pem.bytes().decode())
    return context


@asynccontextmanager
async def served(files: Files) -> AsyncIterator[tuple[Live, Store, Certificate]]:
    certificate = files.read()
    world = World(certificate=certificate)
    store = world.mirror()
    store.sync(store.object(100, "web"))
    async with running(world) as live:
        yield live, store, certificate


async def code(live: Live, ca: trustme.CA, path: str = "/versions") -> int:
    """Of a request on a connection of its own."""
    async with httpx.AsyncClient(verify=trusting(ca), timeout=5) as client:
        return (await client.get(f"https://{live.address}{path}")).status_code


async def told(live: Live, ca: trustme.CA) -> tuple[str, str | None, dict[str, float]]:
    """Fingerprint and refusal by the status, and the loads by outcome of the metrics."""
    async with httpx.AsyncClient(verify=trusting(ca), base_url=f"https://{live.address}", timeout=5) as client:
        shown = (await client.get("/-/status")).json()["process"]["certificate"]
        lines = (await client.get("/metrics")).text.splitlines()
    loads = {
        line.split('"')[1]: float(line.rpartition(" ")[2]) for line in lines if "kubemirror_tls_loads_total{" in line
    }
    return shown["fingerprint"], shown["refused"], loads


@pytest.mark.parametrize("key_type", list(KeyType))
async def test_a_new_pair_is_shown_to_new_connections_and_open_ones_go_on(
    files: Files, ca: trustme.CA, other_ca: trustme.CA, key_type: KeyType
) -> None:
    files.put(ca.issue_cert("127.0.0.1"))
    async with (
        served(files) as (live, store, certificate),
        httpx.AsyncClient(verify=trusting(ca), timeout=5) as client,
        client.stream("GET", f"https://{live.address}/watch?resource=deployments&snapshot=false") as watching,
    ):
        stream = Lines(watching)
        assert (await stream.frame())["type"] == "BOOKMARK"
        files.put(other_ca.issue_cert("127.0.0.1", key_type=key_type))
        await certificate.look()

        assert await code(live, other_ca) == 200
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await code(live, ca)
        store.apply(101, "web")
        assert (await stream.frame())["type"] == "MODIFIED"


async def test_files_are_followed(files: Files, ca: trustme.CA, other_ca: trustme.CA) -> None:
    files.put(ca.issue_cert("127.0.0.1"))
    certificate = files.read()
    before = certificate.fingerprint
    following = asyncio.create_task(certificate.run(look_seconds=0.001), name="certificate")
    files.put(other_ca.issue_cert("127.0.0.1"))
    async with asyncio.timeout(10):
        while certificate.fingerprint == before:  # noqa: ASYNC110 - files tell nobody that they have changed
            await asyncio.sleep(0)
    following.cancel()
    await asyncio.wait([following])

    assert following.cancelled()


def mismatched(files: Files, ca: trustme.CA) -> None:
    files.key.write_bytes(ca.issue_cert("127.0.0.1").private_key_pem.bytes())


def garbled(files: Files, ca: trustme.CA) -> None:
    files.certificate.write_bytes(b"not a certificate")


def gone(files: Files, ca: trustme.CA) -> None:
    files.certificate.unlink()


@pytest.mark.parametrize(
    ("harm", "said"), [(mismatched, "do not belong together"), (garbled, "not PEM"), (gone, "No such file")]
)
async def test_a_bad_pair_changes_nothing_but_what_log_status_and_metrics_say(
    files: Files, ca: trustme.CA, other_ca: trustme.CA, harm: object, said: str
) -> None:
    files.put(ca.issue_cert("127.0.0.1"))
    async with served(files) as (live, _, certificate):
        assert callable(harm)
        harm(files, ca)
        with structlog.testing.capture_logs() as logs:
            await certificate.look()
            await certificate.look()

        fingerprint, refused, loads = await told(live, ca)
        assert fingerprint == certificate.fingerprint
        assert refused is not None
        assert said in refused
        assert loads == {"loaded": 1, "refused": 1}
        assert [(each["event"], each["log_level"]) for each in logs] == [("tls.kept", "error")]

        files.put(other_ca.issue_cert("127.0.0.1"))
        await certificate.look()
        assert (await told(live, other_ca))[1:] == (None, {"loaded": 2, "refused": 1})


async def test_the_metrics_tell_when_the_certificate_ends(files: Files, ca: trustme.CA) -> None:
    end = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
    files.put(ca.issue_cert("127.0.0.1", not_after=end))
    async with served(files) as (live, _, _), httpx.AsyncClient(verify=trusting(ca)) as client:
        lines = (await client.get(f"https://{live.address}/metrics")).text.splitlines()

    (line,) = [line for line in lines if line.startswith("kubemirror_tls_not_after_seconds ")]
    assert float(line.split()[1]) == end.timestamp()


def test_what_cannot_be_served_is_refused_at_start(files: Files, ca: trustme.CA) -> None:
    files.put(ca.issue_cert("127.0.0.1"))
    with pytest.raises(ConfigError, match="give both or none"):
        certificate_of(Settings(tls_cert=files.certificate))
    mismatched(files, ca)
    with pytest.raises(ConfigError, match="do not belong together"):
        certificate_of(Settings(tls_cert=files.certificate, tls_key=files.key))
    files.key.unlink()
    with pytest.raises(ConfigError, match="No such file"):
        certificate_of(Settings(tls_cert=files.certificate, tls_key=files.key))
    with pytest.raises(ConfigError, match="remove it, or give the whole pair"):
        certificate_of(Settings(tls_cert=files.certificate, tls_key=files.key, tls_self_signed=True))


# -- of our own making ----------------------------------------------------------------------------------------------


def kept(files: Files, **settings: object) -> Certificate:
    """A start with a self-signed pair that is kept."""
    made = certificate_of(
        Settings(tls_cert=files.certificate, tls_key=files.key, tls_self_signed=True, **settings)  # type: ignore[arg-type]
    )
    assert made is not None
    return made


def test_a_kept_pair_is_used_again_by_the_next_start(tmp_path: Path) -> None:
    files = Files(tmp_path / "new" / "folder")
    first = kept(files)

    assert kept(files).fingerprint == first.fingerprint
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(files.key.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in files.key.parent.iterdir()) == ["tls.crt", "tls.key"]


def test_a_kept_pair_is_made_anew_for_another_name_and_near_its_end(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = kept(files)
    second = kept(files, allow_host=("mirror.example.com:8443", "[fd00::1]:8443"))
    named = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = named.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert second.fingerprint != first.fingerprint
    assert {"localhost", "mirror.example.com"} <= set(names.get_values_for_type(x509.DNSName))
    assert {"127.0.0.1", "::1", "fd00::1"} == {str(each) for each in names.get_values_for_type(x509.IPAddress)}
    assert kept(files).fingerprint == second.fingerprint  # it has more names than are needed

    monkeypatch.setattr(self_signed, "LEAST_LEFT", self_signed.VALIDITY)
    assert kept(files).fingerprint != second.fingerprint


def test_a_pair_of_somebody_elses_making_is_left_alone(files: Files, ca: trustme.CA) -> None:
    files.put(ca.issue_cert("elsewhere", not_after=datetime.now(UTC) + timedelta(days=1)))
    before = files.certificate.read_bytes(), files.key.read_bytes()
    kept(files)

    assert (files.certificate.read_bytes(), files.key.read_bytes()) == before


@pytest.mark.timeout(120)
def test_a_kubeconfig_of_a_mirror_with_its_own_certificate_is_what_a_client_needs(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path, "--demo", "--tls-self-signed") as mirror:
        assert main(["kubeconfig", "--server", mirror.url, "--trust-shown"]) == 0
        printed = capfd.readouterr()
        (cluster,) = yaml.safe_load(printed.out)["clusters"]
        trusted = b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
        mirror.verify = ssl.create_default_context(cadata=trusted)
        mirror.until_ready()

        assert mirror.url.startswith("https://127.0.0.1:")
        assert cluster["cluster"]["server"] == mirror.url
        with httpx.Client(verify=mirror.verify, base_url=mirror.url.replace("127.0.0.1", "localhost")) as client:
            shown = client.get("/-/status").json()["process"]["certificate"]
    log = [json.loads(line) for line in mirror.log.read_text().splitlines()]
    (serving_told,) = [each for each in log if each["event"] == "tls.serving"]

    assert shown["fingerprint"] == serving_told["fingerprint"]
    assert printed.err.strip().endswith(shown["fingerprint"])
