"""Which API server, as whom: read from kubeconfig files or from a pod's service account.

Order: ``--kubeconfig`` or ``--context`` when given; else in-cluster if there; else ``$KUBECONFIG`` (a list of
files, merged as kubectl does: the first to name a thing wins); else ``~/.kube/config``; else an error that
names the ways out. Everything wrong with a file is said here, in one line, before anything runs.

Paths are those kubectl would take: relative to the file that has the entry.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
import yaml

from kubemirror.errors import ConfigError
from kubemirror.kube.loaders import loaders

log = structlog.get_logger()

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where. server: URL, perhaps with a path prefix. Data wins over files; paths are absolute."""

    server: str
    ca_data: bytes = b""
    ca_file: Path | None = None
    insecure: bool = False
    tls_server_name: str = ""
    proxy_url: str = field(default="", repr=False)
    disable_compression: bool = False
    exec_extension: Any = None  # what exec plugins are told as spec.cluster.config


@dataclass(frozen=True, slots=True)
class User:
    """As whom; every field as in the kubeconfig. exec: the raw mapping, with its file's directory."""

    name: str = ""
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    username: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    certificate_data: bytes = field(default=b"", repr=False)
    certificate_file: Path | None = None
    key_data: bytes = field(default=b"", repr=False)
    key_file: Path | None = None
    exec: Mapping[str, Any] | None = field(default=None, repr=False)
    directory: Path = Path()
    impersonate_user: str = ""
    impersonate_uid: str = ""
    impersonate_groups: tuple[str, ...] = ()
    impersonate_extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """All that a connection is made from. source: what a person would call where it came from. files: kubeconfigs."""

    source: str
    context: str
    namespace: str
    cluster: Cluster
    user: User
    in_cluster: bool = False
    files: tuple[Path, ...] = ()


def find_target(
    *,
    kubeconfig: Path | None,
    context: str | None,
    env: Mapping[str, str],
    service_account: Path = SERVICE_ACCOUNT,
) -> Target:
    """The API server to connect to. Raises ConfigError."""
    if kubeconfig is None and context is None:
        inside = _in_cluster(env, service_account)
        if inside is not None:
            if env.get("KUBECONFIG"):
                log.warning("connection.kubeconfig_ignored", reason="in-cluster; --kubeconfig chooses a file instead")
            return inside
    if kubeconfig is not None:
        path = _expand(kubeconfig)
        if not _exists(path):
            raise ConfigError(f"kubeconfig {path} does not exist")
        return _from_files([path], context)
    listed = [_expand(Path(entry)) for entry in env.get("KUBECONFIG", "").split(os.pathsep) if entry]
    if listed:
        found = [path for path in listed if _exists(path)]
        if not found:
            raise ConfigError(
                f"KUBECONFIG names {', '.join(map(str, listed))}, which does not exist;"
                " give a file with --kubeconfig, or try without a cluster: --demo"
            )
        return _from_files(found, context)
    default = (Path(env["HOME"]) if env.get("HOME") else _expand(Path("~"))) / ".kube" / "config"
    if _exists(default):
        return _from_files([default], context)
    inside_but = (
        f" (KUBERNETES_SERVICE_HOST is set, but there is no {service_account / 'token'}:"
        " does the pod have automountServiceAccountToken: false?)"
        if env.get("KUBERNETES_SERVICE_HOST")
        else ""
    )
    raise ConfigError(
        f"no cluster: not running in one{inside_but}, KUBECONFIG is not set, and there is no {default};"
        " give a file with --kubeconfig, or try without a cluster: --demo"
    )


def is_pod(env: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT) -> bool:
    """Whether this is a pod with a service account, whose own cluster is the default one."""
    told = env.get("KUBERNETES_SERVICE_HOST") and env.get("KUBERNETES_SERVICE_PORT")
    return bool(told) and _exists(service_account / "token")


def _expand(path: Path) -> Path:
    """``~`` replaced, where this user has a home (a container's random user has none)."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def _exists(path: Path) -> bool:
    """What may not be looked at exists: reading it then tells why it cannot be used."""
    try:
        return path.exists()
    except OSError:
        return True


def _in_cluster(env: Mapping[str, str], account: Path) -> Target | None:
    """The pod's own cluster; None when this is not a pod with a service account."""
    token = account / "token"
    if not is_pod(env, account):
        return None
    parts = loaders()
    configuration = parts.configuration()
    try:
        parts.in_cluster_config_loader(
            token_filename=str(token),
            cert_filename=str(account / "ca.crt"),
            try_refresh_token=False,
            environ=env,
        ).load_and_set(configuration)
    except (parts.config_exception, OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"the service account in {account} cannot be used: {exc}") from None
    try:
        namespace = (account / "namespace").read_text().strip()
    except OSError:
        namespace = ""
    return Target(
        source="in-cluster service account",
        context="",
        namespace=namespace,
        cluster=Cluster(server=configuration.host, ca_file=Path(configuration.ssl_ca_cert)),
        user=User(name="service account", token_file=token),
        in_cluster=True,
    )


def _check(path: Path) -> bool:
    """Whether a file holds anything; ConfigError when it is not a kubeconfig."""
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"cannot read kubeconfig {path}: {exc.strerror or type(exc).__name__}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"kubeconfig {path} is not text") from None
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise ConfigError(f"kubeconfig {path} is not YAML{where}") from None
    if config is None:
        return False
    if not isinstance(config, dict):
        raise ConfigError(f"kubeconfig {path} is not a mapping; is this the right file?")
    for plural, singular in (("clusters", "cluster"), ("contexts", "context"), ("users", "user")):
        entries = config.get(plural) or []
        if not isinstance(entries, list) or not all(
            isinstance(entry, dict) and entry.get("name") and isinstance(entry.get(singular) or {}, dict)
            for entry in entries
        ):
            raise ConfigError(f"kubeconfig {path}: {plural} must be a list of {{name: ..., {singular}: {{...}}}}")
    return True


@dataclass(frozen=True, slots=True)
class _Entry:
    """A named entry, and the directory its relative paths start from."""

    value: dict[str, Any] = field(repr=False)
    directory: Path

    def text(self, key: str) -> str:
        value = self.value.get(key)
        return "" if value is None else str(value)

    def path(self, key: str) -> Path | None:
        text = self.text(key)
        return self.directory / _expand(Path(text)) if text else None

    def data(self, key: str, owner: str) -> bytes:
        text = self.text(key)
        if not text:
            return b""
        try:
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ConfigError(f"{key} of {owner} is not base64") from None

    def flag(self, key: str, owner: str) -> bool:
        value = self.value.get(key)
        if value is None or isinstance(value, bool):
            return bool(value)
        raise ConfigError(f"{key} of {owner} must be true or false")


def _named(merged: Any, plural: str, singular: str) -> dict[str, _Entry]:
    return {
        str(node.value["name"]): _Entry(node.value.get(singular) or {}, Path(node.path).resolve().parent)
        for node in merged.config.value[plural]
    }


def _from_files(paths: list[Path], wanted: str | None) -> Target:
    source = os.pathsep.join(map(str, paths))
    filled = [path for path in paths if _check(path)]
    if not filled:
        raise ConfigError(f"kubeconfig {source} is empty")
    merged = loaders().kube_config_merger(os.pathsep.join(map(str, filled)))
    contexts = _named(merged, "contexts", "context")
    # The merger lets the last file's current-context win; kubectl the first's.
    current = next(
        (str(name) for name in (file.get("current-context") for file in merged.config_files.values()) if name), ""
    )
    name = wanted or current
    known = f"known contexts: {', '.join(sorted(contexts))}" if contexts else "it has no contexts"
    if not name:
        raise ConfigError(f"kubeconfig {source} has no current-context; choose one with --context ({known})")
    if name not in contexts:
        raise ConfigError(f"kubeconfig {source} has no context {name!r}; {known}")
    context = contexts[name]
    clusters = _named(merged, "clusters", "cluster")
    cluster = clusters.get(context.text("cluster"))
    if cluster is None:
        raise ConfigError(
            f"context {name!r} names the cluster {context.text('cluster')!r}, which kubeconfig {source} does not have"
            f" (known clusters: {', '.join(sorted(clusters)) or 'none'})"
        )
    users = _named(merged, "users", "user")
    user_name = context.text("user")
    if user_name and user_name not in users:
        raise ConfigError(
            f"context {name!r} names the user {user_name!r}, which kubeconfig {source} does not have"
            f" (known users: {', '.join(sorted(users)) or 'none'})"
        )
    return Target(
        source=f"kubeconfig {source}",
        context=name,
        namespace=context.text("namespace"),
        cluster=_cluster(cluster, f"cluster {context.text('cluster')!r}"),
        user=_user(users[user_name], user_name) if user_name else User(),
        files=tuple(paths),
    )


def _cluster(entry: _Entry, owner: str) -> Cluster:
    server = entry.text("server").strip()
    if not server:
        raise ConfigError(f"{owner} has no server; set it to https://host:port")
    ca_data, ca_file = entry.data("certificate-authority-data", owner), entry.path("certificate-authority")
    insecure = entry.flag("insecure-skip-tls-verify", owner)
    if insecure and (ca_data or ca_file):
        raise ConfigError(f"{owner} has both a certificate authority and insecure-skip-tls-verify; remove one of them")
    if "://" not in server:
        # As client-go: TLS where anything says so.
        server = f"{'https' if insecure or ca_data or ca_file else 'http'}://{server}"
    extensions = entry.value.get("extensions") or []
    if not isinstance(extensions, list):
        raise ConfigError(f"extensions of {owner} must be a list")
    return Cluster(
        server=server,
        ca_data=ca_data,
        ca_file=None if ca_data else ca_file,
        insecure=insecure,
        tls_server_name=entry.text("tls-server-name"),
        proxy_url=entry.text("proxy-url"),
        disable_compression=entry.flag("disable-compression", owner),
        exec_extension=next(
            (
                extension.get("extension")
                for extension in extensions
                if isinstance(extension, dict) and extension.get("name") == "client.authentication.k8s.io/exec"
            ),
            None,
        ),
    )


# What replaced the providers that client-go removed in 1.26, or that cannot be run safely here.
_PROVIDERS = {
    "gcp": "gke-gcloud-auth-plugin",
    "azure": "kubelogin (Azure)",
    "oidc": "kubelogin (kubectl oidc-login)",
}


def _user(entry: _Entry, name: str) -> User:
    owner = f"user {name!r}"
    provider = entry.value.get("auth-provider")
    if provider:
        kind = str(provider.get("name", "")) if isinstance(provider, dict) else ""
        raise ConfigError(
            f"{owner} uses auth-provider {kind!r}, which is not supported; use the exec plugin"
            f" {_PROVIDERS.get(kind, 'of your provider')} in its place"
        )
    groups, extra = entry.value.get("as-groups") or [], entry.value.get("as-user-extra") or {}
    if not isinstance(groups, list) or not isinstance(extra, dict):
        raise ConfigError(f"as-groups of {owner} must be a list, and as-user-extra a mapping of lists")
    impersonate = entry.text("as")
    if not impersonate and (groups or extra or entry.text("as-uid")):
        raise ConfigError(f"{owner} has as-groups, as-uid or as-user-extra without as; name the user to act as")
    plugin = entry.value.get("exec")
    if plugin is not None and not isinstance(plugin, dict):
        raise ConfigError(f"exec of {owner} must be a mapping with command and apiVersion")
    certificate_data = entry.data("client-certificate-data", owner)
    key_data = entry.data("client-key-data", owner)
    user = User(
        name=name,
        token=entry.text("token").strip(),
        token_file=entry.path("tokenFile"),
        username=entry.text("username"),
        password=entry.text("password"),
        certificate_data=certificate_data,
        certificate_file=None if certificate_data else entry.path("client-certificate"),
        key_data=key_data,
        key_file=None if key_data else entry.path("client-key"),
        exec=plugin,
        directory=entry.directory,
        impersonate_user=impersonate,
        impersonate_uid=entry.text("as-uid"),
        impersonate_groups=tuple(map(str, groups)),
        impersonate_extra=tuple(
            (str(key), tuple(map(str, values if isinstance(values, list) else [values])))
            for key, values in extra.items()
        ),
    )
    if bool(user.certificate_data or user.certificate_file) != bool(user.key_data or user.key_file):
        raise ConfigError(f"{owner} has a client certificate without its key, or the other way round")
    if (user.token or user.token_file) and user.username:
        raise ConfigError(f"{owner} has both a token and a username; remove one of them")
    return user
