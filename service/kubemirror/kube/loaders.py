"""kubernetes_asyncio's configuration loaders, imported without the client they come with.

``import kubernetes_asyncio.config`` executes ``kubernetes_asyncio/__init__`` and ``client/__init__``, which
import every generated API and model: 34 MB and 160 ms for classes that are never used here. The loaders
themselves need two names of the client: ``Configuration``, a leaf module, and ``ApiClient``, which only
functions we do not call ever touch. So while the loaders are imported, two empty packages that offer just
these names stand in for the real ones; afterwards every module of the package is taken out of
``sys.modules`` again, so that a process that also uses kubernetes_asyncio itself gets the real thing.

Where the package's inside has changed, or somebody has imported it already, the plain import is used.

What is taken, and why only this: merging of several kubeconfig files with the path each entry came from
(``KubeConfigMerger``), the service account's loader, and the RFC 3339 parser. Credentials are read by
credentials.py, because the loader reads token files once, has no time limit for exec plugins, ignores
impersonation, and switches TLS verification off when it refreshes an OIDC token.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

_PACKAGE = "kubernetes_asyncio"
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Loaders:
    """The parts of kubernetes_asyncio that are used.

    whole: whether the generated client had to be imported with them.
    """

    kube_config_merger: Any
    in_cluster_config_loader: Any
    configuration: Any
    config_exception: type[Exception]
    parse_rfc3339: Any
    whole: bool


def _collect(*, whole: bool) -> Loaders:
    kube_config = importlib.import_module(f"{_PACKAGE}.config.kube_config")
    in_cluster = importlib.import_module(f"{_PACKAGE}.config.incluster_config")
    configuration = importlib.import_module(f"{_PACKAGE}.client.configuration")
    return Loaders(
        kube_config_merger=kube_config.KubeConfigMerger,
        in_cluster_config_loader=in_cluster.InClusterConfigLoader,
        configuration=configuration.Configuration,
        config_exception=kube_config.ConfigException,
        parse_rfc3339=kube_config.parse_rfc3339,
        whole=whole,
    )


def _imported() -> list[str]:
    return [name for name in sys.modules if name == _PACKAGE or name.startswith(f"{_PACKAGE}.")]


def _stand_in(name: str, path: Path) -> ModuleType:
    module = ModuleType(name)
    module.__path__ = [str(path)]
    sys.modules[name] = module
    return module


def _import_without_models() -> Loaders:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError(f"{_PACKAGE} is not installed")
    root = Path(spec.origin).parent
    try:
        _stand_in(_PACKAGE, root)
        client = _stand_in(f"{_PACKAGE}.client", root / "client")
        configuration = importlib.import_module(f"{_PACKAGE}.client.configuration")
        client.Configuration = configuration.Configuration  # type: ignore[attr-defined]
        client.ApiClient = object  # type: ignore[attr-defined]
        return _collect(whole=False)
    finally:
        for name in _imported():
            del sys.modules[name]


_loaders: Loaders | None = None


def loaders() -> Loaders:
    """The loaders, imported at the first call (40 ms) and then kept."""
    global _loaders  # noqa: PLW0603 - the module-level cache of an import
    with _lock:
        if _loaders is None:
            if _imported():
                _loaders = _collect(whole=True)
            else:
                try:
                    _loaders = _import_without_models()
                except (ImportError, AttributeError):
                    _loaders = _collect(whole=True)
        return _loaders
