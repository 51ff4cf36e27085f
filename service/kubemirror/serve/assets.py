"""Finds web/ (templates, stylesheet, scripts): beside service/ in a checkout, inside the package in a wheel.

Scripts are served as they are written. The web component is for pages elsewhere, which pin it by its hash: what it
imports is put into it, so that it is one file.
"""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import blake2b, sha384
from pathlib import Path

from kubemirror.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
COMPONENT = "kube-mirror.js"

_imports = re.compile(r'^import \{[^}]*\} from "\./([a-z-]+\.js)";\n', re.MULTILINE)
_exports = re.compile(r"^export (?=(async )?(class|function|const|let) )", re.MULTILINE)


def web() -> Path:
    """The folder that holds templates/ and static/."""
    for folder in (_PACKAGE / "web", _PACKAGE.parents[1] / "web"):
        if (folder / "templates").is_dir():
            return folder
    raise ConfigError("web/ is missing from this installation: install kubemirror from a complete wheel or checkout")


class Static:
    """The files below web/static, read once: they are few and small. Names are flat, so no path can leave it."""

    def __init__(self, folder: Path) -> None:
        self.files: dict[str, bytes] = {
            path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in TYPES
        }
        self.files[COMPONENT] = _whole(COMPONENT, self.files)
        self.version = blake2b(b"".join(self.files.values()), digest_size=6).hexdigest()

    def address(self, name: str) -> str:
        """Where ``name`` is served, after the base path."""
        return f"/-/static/{self.version}/{name}"

    def integrity(self, name: str) -> str:
        """What a page writes into ``integrity``, so that it runs this file or none."""
        return f"sha384-{b64encode(sha384(self.files[name]).digest()).decode()}"

    def type_of(self, name: str) -> str:
        return TYPES[Path(name).suffix]


def _whole(name: str, files: dict[str, bytes]) -> bytes:
    """``name`` with what it imports, and what that imports, before it; each once."""
    put: dict[str, str] = {}

    def put_in(script: str, *, exports: bool) -> None:
        text = files[script].decode()
        for imported in _imports.findall(text):
            if imported not in put:
                put_in(imported, exports=False)
        text = _imports.sub("", text)
        put[script] = text if exports else _exports.sub("", text)

    put_in(name, exports=True)
    return "\n".join(put.values()).encode()
