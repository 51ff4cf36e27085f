"""Finds web/ (templates, stylesheet, scripts): beside service/ in a checkout, inside the package in a wheel."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

from kubemirror.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parents[1]

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


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
        self.version = blake2b(b"".join(self.files.values()), digest_size=6).hexdigest()

    def type_of(self, name: str) -> str:
        return TYPES[Path(name).suffix]
