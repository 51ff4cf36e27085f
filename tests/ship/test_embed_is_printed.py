"""`kubemirror embed` prints what a page takes over: the address and the hash are those of the file that is served."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha384
from pathlib import Path

from bs4 import BeautifulSoup

from tests.ship.conftest import DemoMirror
from tests.ship.test_commands import kubemirror


def test_the_component_is_pinned_to_what_the_mirror_serves(demo_mirror: DemoMirror, tmp_path: Path) -> None:
    server = demo_mirror.url.rstrip("/")
    done = kubemirror("embed", "pods", "-l", 'app="web"', "-n", "shop", "--server", server, home=tmp_path)
    page = BeautifulSoup(done.stdout, "html.parser")
    script, element = page.select_one("script"), page.select_one("kube-mirror")
    assert script is not None
    assert element is not None
    served = demo_mirror.get(str(script["src"]).removeprefix(server))

    assert script["integrity"] == f"sha384-{b64encode(sha384(served.encode()).digest()).decode()}"
    assert (script["type"], script["crossorigin"]) == ("module", "anonymous")
    assert element.attrs == {"resource": "pods", "namespace": "shop", "selector": 'app="web"'}


def test_the_component_is_one_file(demo_mirror: DemoMirror) -> None:
    served = demo_mirror.get("/-/static/any/kube-mirror.js")

    assert re.findall(r"^import |^export \\{", served, re.MULTILINE) == []


def test_a_frame_is_printed_too(tmp_path: Path) -> None:
    done = kubemirror("embed", "--frame", "--theme", "dark", "--accent", "#7a3cc2", home=tmp_path)
    frame = BeautifulSoup(done.stdout, "html.parser").select_one("iframe")

    assert frame is not None
    assert frame["src"] == "http://127.0.0.1:8080/embed/resources/deployments?theme=dark&accent=%237a3cc2"
