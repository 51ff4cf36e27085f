"""One control plane on free loopback ports: etcd and kube-apiserver, and on demand what makes objects live.

Plain is what an API client needs: discovery, RBAC, watches, CRDs. Full adds the controllers, the scheduler and kwok
with one fake node, on which pods are Running at once: Deployments roll out as they would anywhere.

Who may come is the demo cluster's list of users, by the same tokens and with the same rights, so that one test runs
against either. Every request is in the audit log: ``requests()`` tells what was really asked.
"""

from __future__ import annotations

import json
import shutil
import ssl
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import trustme
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from kubemirror.demo.users import ADMIN_TOKEN, TOKENS
from tests.cluster.processes import Process, ProcessDiedError, free_ports
from tests.cluster.programs import require

HERE = Path(__file__).parent
# Five seconds on an idle machine; two shared cores may be ten times as slow.
READY_SECONDS = 50.0
# Between looking for a free port and binding it somebody else may have taken it.
ATTEMPTS = 3
PLAIN = ("etcd", "kube-apiserver")
_LIVELY = ("kube-controller-manager", "kube-scheduler", "kwok")
FULL = (*PLAIN, *_LIVELY)
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "replicaset-controller",
    "serviceaccount-controller",
)
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["ResponseStarted"],
    "rules": [{"level": "Metadata"}],
}


class NotReadyError(Exception):
    """A control plane did not come up in time."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One request, as the audit log tells it. received: when, in seconds since the epoch."""

    received: float
    user: str
    verb: str
    resource: str
    uri: str
    stage: str
    code: int
    user_agent: str


@dataclass
class ControlPlane:
    """``with ControlPlane() as plane``; or ``start()`` and ``stop()``.

    folder: where certificates, data and logs are; a temporary one unless given. full: with controllers, scheduler and
    a fake node. leash: whether the processes die with us (they then never outlive a killed test run). audit: whether
    the API server logs its requests, which costs it time. flags: more of the API server's.
    """

    full: bool = False
    folder: Path | None = None
    leash: bool = True
    audit: bool = True
    flags: Sequence[str] = ()
    processes: dict[str, Process] = field(default_factory=dict)
    port: int = 0
    _etcd_ports: tuple[int, int] = (0, 0)
    _temporary: Path | None = None

    # -- where it is ------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def kubeconfig(self) -> Path:
        """The admin's."""
        return self._home / "kubeconfig"

    @property
    def certificate(self) -> Path:
        """What the API server's own certificate is checked against."""
        return self._home / "certs" / "apiserver.crt"

    @property
    def tokens(self) -> Path:
        """Read when the API server starts."""
        return self._home / "tokens.csv"

    @property
    def client_ca(self) -> Path:
        """Whose client certificates are believed; read again whenever the file changes."""
        return self._home / "clients.crt"

    @property
    def etcd_url(self) -> str:
        return f"http://127.0.0.1:{self._etcd_ports[0]}"

    @property
    def _home(self) -> Path:
        if self.folder is None:
            raise RuntimeError("the control plane was not started")
        return self.folder

    # -- its life ---------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Until it is ready. ProgramError, ProcessDiedError or NotReadyError where it does not become so."""
        if self.folder is None:
            self.folder = self._temporary = Path(tempfile.mkdtemp(prefix="kubemirror-cluster-"))
        try:
            self._write_files()
            self._on_free_ports()
            self.write_kubeconfig(self.kubeconfig)
            for manifest in RIGHTS:
                self.apply(manifest)
            if self.full:
                self._start_controllers()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every process, the ones that depend on others first."""
        for process in reversed(list(self.processes.values())):
            process.end()
        self.processes.clear()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = self.folder = None

    def start_etcd(self) -> None:
        _, peer = self._etcd_ports
        self._run(
            "etcd",
            "--unsafe-no-fsync",
            "--log-level=error",
            f"--data-dir={self._home / 'etcd'}",
            f"--listen-client-urls={self.etcd_url}",
            f"--advertise-client-urls={self.etcd_url}",
            f"--listen-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-advertise-peer-urls=http://127.0.0.1:{peer}",
            f"--initial-cluster=default=http://127.0.0.1:{peer}",
        )

    def start_api_server(self) -> None:
        home = self._home
        self._run(
            "kube-apiserver",
            f"--etcd-servers={self.etcd_url}",
            f"--secure-port={self.port}",
            "--bind-address=127.0.0.1",
            f"--cert-dir={home / 'certs'}",
            f"--service-account-key-file={home / 'sa.key'}",
            f"--service-account-signing-key-file={home / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--token-auth-file={self.tokens}",
            f"--client-ca-file={self.client_ca}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--allow-privileged",
            # Filling a cluster asks for more at once than the defaults let in.
            "--max-requests-inflight=3000",
            "--max-mutating-requests-inflight=2000",
            *(
                (f"--audit-policy-file={home / 'audit.json'}", f"--audit-log-path={home / 'audit.log'}")
                if self.audit
                else ()
            ),
            *self.flags,
        )

    def end_process(self, name: str, *, kill: bool = False) -> None:
        process = self.processes.pop(name)
        if kill:
            process.kill()
        else:
            process.end()

    def until_ready(self, *, seconds: float = READY_SECONDS) -> None:
        """Wait for the API server's /readyz."""
        deadline = time.monotonic() + seconds
        process = self.processes["kube-apiserver"]
        said = ""
        while time.monotonic() < deadline:
            process.look()
            try:
                self.request("GET", "/readyz")
            except (OSError, RefusedError) as error:
                said = str(error)
            else:
                return
        raise NotReadyError(f"kube-apiserver is not ready after {seconds:.0f} s: {said}")

    # -- what one asks it -------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Any = None, *, content_type: str = "application/json") -> Any:
        """As the admin; the decoded answer (text where it is no JSON). RefusedError for a code of 400 and more."""
        headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": content_type}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(self.url + path, data, headers, method=method)
        context = ssl.create_default_context(cafile=str(self.certificate))
        try:
            with urllib.request.urlopen(asked, context=context, timeout=10) as answer:
                content = answer.read().decode()
                return json.loads(content) if content.startswith("{") else content
        except urllib.error.HTTPError as error:
            with error:
                raise RefusedError(error.code, error.read().decode(errors="replace")) from None

    def apply(self, manifest: Mapping[str, Any]) -> None:
        """Create the object, unless one of that name is there."""
        group, _, _ = manifest["apiVersion"].rpartition("/")
        namespace = manifest["metadata"].get("namespace")
        place = f"/namespaces/{namespace}" if namespace else ""
        plural = manifest["kind"].lower() + "s"
        try:
            self.request("POST", f"{'/apis' if group else '/api'}/{manifest['apiVersion']}{place}/{plural}", manifest)
        except RefusedError as error:
            if error.code != 409:
                raise

    def requests(self) -> Iterator[Audited]:
        """Every request so far, from the audit log; two lines where one was answered later than received."""
        *lines, _ = (self._home / "audit.log").read_bytes().split(b"\n")  # the last is being written, or empty
        for line in lines:
            event = json.loads(line)
            about = event.get("objectRef", {})
            group = about.get("apiGroup", "")
            resource = about.get("resource", "")
            yield Audited(
                received=datetime.fromisoformat(event["requestReceivedTimestamp"]).timestamp(),
                user=event["user"].get("username", ""),
                verb=event["verb"],
                resource=f"{resource}.{group}" if group else resource,
                uri=event["requestURI"],
                stage=event["stage"],
                code=event.get("responseStatus", {}).get("code", 0),
                user_agent=event.get("userAgent", ""),
            )

    def write_kubeconfig(
        self, path: Path, *, token: str = ADMIN_TOKEN, client: Path | None = None, server: str = ""
    ) -> None:
        """A kubeconfig (JSON, which is YAML) of whoever has ``token``; readable by its owner alone.

        client: in the token's place, ``<client>.crt`` and ``<client>.key``. server: where else it is reached.
        """
        cluster = {"server": server or self.url, "certificate-authority": str(self.certificate.resolve())}
        user = (
            {"token": token}
            if client is None
            else {"client-certificate": f"{client}.crt", "client-key": f"{client}.key"}
        )
        configuration = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "user"}}],
        }
        path.touch(0o600)
        path.write_text(json.dumps(configuration, indent=2) + "\n")

    # -- inside -----------------------------------------------------------------------------------------

    def _run(self, name: str, *arguments: str) -> None:
        log = self._home / f"{name}.log"
        self.processes[name] = Process(require(name), arguments, log=log, leash=self.leash)

    def _write_files(self) -> None:
        home = self._home
        home.mkdir(parents=True, exist_ok=True)
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (home / "sa.key").touch(0o600)
        (home / "sa.key").write_bytes(pem)
        (home / "audit.json").write_text(json.dumps(_AUDIT))
        self.write_client_ca(trustme.CA())
        self.write_tokens(TOKENS)

    def write_client_ca(self, ca: trustme.CA) -> None:
        """Whose client certificates are believed from now on, and nobody else's."""
        ca.cert_pem.write_to_path(str(self.client_ca))

    def write_tokens(self, tokens: Mapping[str, Any]) -> None:
        """Who is known by which token, from the API server's next start on."""
        rows = []
        for token, caller in tokens.items():
            groups = ",".join(group for group in caller.groups if group != "system:authenticated")
            rows.append(f'{token},{caller.user},{caller.uid},"{groups}"\n')
        self.tokens.touch(0o600)
        self.tokens.write_text("".join(rows))

    def _on_free_ports(self) -> None:
        for attempt in range(ATTEMPTS):
            client, peer, self.port = free_ports(3)
            self._etcd_ports = client, peer
            try:
                self.start_etcd()
                self.start_api_server()
                self.until_ready()
            except (ProcessDiedError, NotReadyError) as error:
                logs = "".join(log.read_text(errors="replace") for log in self._home.glob("*.log"))
                if attempt + 1 == ATTEMPTS or "address already in use" not in logs:
                    raise error from None
                for name in list(self.processes):
                    self.end_process(name, kill=True)
                shutil.rmtree(self._home / "etcd", ignore_errors=True)
            else:
                return

    def _start_controllers(self) -> None:
        home = self._home
        self._run(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--leader-elect=false",
            "--use-service-account-credentials=false",
            f"--service-account-private-key-file={home / 'sa.key'}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--secure-port=0",
        )
        self._run("kube-scheduler", f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0")
        self._run(
            "kwok",
            f"--kubeconfig={self.kubeconfig}",
            "--manage-all-nodes=true",
            # Without leases the node would be NotReady after 50 s, and its pods with it, again and again.
            "--node-lease-duration-seconds=40",
            f"--config={HERE / 'stages.yaml'}",
        )
        self.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node", "labels": {"type": "kwok"}}})
        self._until_node_takes_pods()

    def _until_node_takes_pods(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline:
            for name in _LIVELY:
                self.processes[name].look()
            node = self.request("GET", "/api/v1/nodes/node")
            ready = any(each["type"] == "Ready" and each["status"] == "True" for each in _conditions(node))
            accounts = self.request("GET", "/api/v1/namespaces/default/serviceaccounts")["items"]
            if ready and not node["spec"].get("taints") and accounts:
                return
        raise NotReadyError(f"no node takes pods after {READY_SECONDS:.0f} s")


def _conditions(obj: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = obj.get("status", {}).get("conditions", [])
    return found


class RefusedError(Exception):
    """The API server answered with 400 or more."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"{code}: {said}")
        self.code = code


# What the demo cluster's users may do, said in RBAC.
RIGHTS: list[dict[str, Any]] = list(yaml.safe_load_all((HERE / "rights.yaml").read_text()))
