"""A rollout, seen live in a real Chromium from its beginning to its end: of the demo cluster, and of a real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page

from kubemirror.demo.server import DemoServer
from tests.browser.chromium import LIVE, until
from tests.contract.conftest import fast, living
from tests.contract.mirrored import mirror_of
from tests.contract.objects import deployment
from tests.contract.servers import STRATEGIC_PATCH, Demo, Real, Server
from tests.reader.wire import Wire, wire_to
from tests.serve.live import running

pytestmark = pytest.mark.timeout(120)

PATH = "/apis/apps/v1/namespaces/{}/deployments"
# Everything that the row has said of its health, and the element that said it.
FOLLOW = """
  window.said = [];
  window.row = document.querySelector('#objects tbody tr');
  const look = () => {
    const word = document.querySelector('#objects tbody .word')?.innerText.trim();
    if (word && word !== said.at(-1)) said.push(word);
  };
  look();
  new MutationObserver(look).observe(document.querySelector('#objects'), { subtree: true, childList: true });
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    chosen = metafunc.config.getoption("--server")
    metafunc.parametrize("server", [chosen] if chosen else ("demo", "real"), indirect=True)


@pytest_asyncio.fixture(loop_scope="session")
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Server]:
    """Where controllers run."""
    if request.param == "demo":
        async with DemoServer(life=False, clock=fast) as demo, living(demo, controllers=True):
            cluster: Server = Demo(demo, tmp_path)
            yield cluster
            await cluster.close()
    else:
        cluster = Real(request.getfixturevalue("full_control_plane"), tmp_path)
        yield cluster
        await cluster.close()


@pytest_asyncio.fixture(loop_scope="session")
async def wire(server: Server) -> AsyncIterator[Wire]:
    async with (
        mirror_of(server, mirror=("replicasets.apps", "pods", "events")) as mirrored,
        running(mirrored) as live,
        wire_to(int(live.address.rpartition(":")[2])) as wire,
    ):
        yield wire


async def test_a_rollout_is_seen_from_both_ends(page: Page, server: Server, wire: Wire, complaints: list[str]) -> None:
    namespace = await server.namespace()
    path = PATH.format(namespace)
    await server.done("POST", path, deployment(image="registry.example/web:1.0", replicas=3))
    one = await page.context.new_page()
    await page.goto(f"{wire.url}/resources/deployments?namespace={namespace}")
    await until(page, f"{LIVE} && document.querySelector('#objects tbody')?.innerText.includes('Complete')")
    await one.goto(f"{wire.url}/resources/deployments/{namespace}/web")
    await until(one, LIVE)
    await page.evaluate(FOLLOW)

    image = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "registry.example/web:2.0"}]}}}}
    await server.patch(f"{path}/web", image, STRATEGIC_PATCH)
    await until(page, "row.innerText.includes('2.0') && said.at(-1) == 'Complete' && said.length > 1")
    await until(
        one,
        "document.querySelector('[data-part=verdict]').innerText.includes('Complete')"
        " && document.querySelector('[data-part=images]').innerText.includes('2.0')"
        " && document.querySelector('[data-part=changes]').innerText.includes('image')",
    )
    assert await page.evaluate("said.slice(0, 2)") == ["Complete", "Progressing"]
    assert await page.evaluate("row.isConnected")
    assert complaints == []

    await one.close()
    wire.closed = True
    wire.cut()
    await until(page, "document.querySelector('#connection').dataset.state == 'lost'")
    await server.patch(f"{path}/web", {"spec": {"replicas": 5}}, STRATEGIC_PATCH)
    wire.closed = False
    await until(page, f"{LIVE} && row.innerText.includes('5/5')")
    assert await page.evaluate("row.isConnected")
