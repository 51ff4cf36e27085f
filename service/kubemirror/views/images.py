"""Container image references: name, tag and digest, as the container runtimes read them.

The grammar is distribution/reference's: a colon after the last slash begins a tag, one before it is a
registry's port; ``@`` begins a digest.
"""

from __future__ import annotations

from typing import NamedTuple


class Image(NamedTuple):
    """A parsed image reference; ``tag`` and ``digest`` are "" where the reference has none."""

    name: str
    tag: str
    digest: str

    @property
    def version(self) -> str:
        """Its tag, else its digest, else ``latest``, which is what a runtime would pull."""
        return self.tag or self.digest or "latest"


def parse_image(reference: str) -> Image:
    """``registry:5000/team/app:1.2@sha256:...`` in its parts; whatever is no reference is all name."""
    name, _, digest = reference.partition("@")
    slash = name.rfind("/")
    colon = name.find(":", slash + 1)
    if colon < 0:
        return Image(name, "", digest)
    return Image(name[:colon], name[colon + 1 :], digest)
