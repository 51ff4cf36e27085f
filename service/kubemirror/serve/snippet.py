"""What a portal's page takes over to show what a mirror holds: the web component, or a frame."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from urllib.parse import quote, urlencode

from kubemirror.serve.assets import COMPONENT, Static, web
from kubemirror.serve.embed import PREFIX

# The component's attributes, and the page's parameters of the same meaning.
PARAMETERS = {"namespace": "namespace", "selector": "labelSelector"}


def component(server: str, resource: str, attributes: Mapping[str, str]) -> str:
    """The script with its hash, and the element."""
    static = Static(web() / "static")
    script = {
        "type": "module",
        "src": server.rstrip("/") + static.address(COMPONENT),
        "integrity": static.integrity(COMPONENT),
        "crossorigin": "anonymous",
    }
    element = {"resource": resource, **attributes}
    return f"<script{_written(script)}></script>\n<kube-mirror{_written(element)}></kube-mirror>\n"


def frame(server: str, resource: str, attributes: Mapping[str, str]) -> str:
    """The element that frames the page of ``resource``."""
    parameters = {PARAMETERS.get(name, name): value for name, value in attributes.items()}
    query = f"?{urlencode(parameters)}" if parameters else ""
    src = f"{server.rstrip('/')}{PREFIX}/resources/{quote(resource, safe='')}{query}"
    return f"<iframe{_written({'src': src, 'title': resource, 'loading': 'lazy'})}></iframe>\n"


def _written(attributes: Mapping[str, str]) -> str:
    return "".join(f' {name}="{escape(value)}"' for name, value in attributes.items())
