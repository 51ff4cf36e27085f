"""A page that its visitor opens tries to read a mirror that only the visitor reaches."""

from __future__ import annotations

import pytest

from tests.attacks.conftest import a_world
from tests.attacks.wire import asked, connected, upgraded
from tests.serve.live import Live, running

EVIL = "https://evil.example"
SOCKETS = (
    "/watch?resource=deployments",
    "/w%61tch?resource=deployments",
    "/apis/apps/v1/deployments?watch=true",
    "/apis/apps/v1/deployments?%77atch=1",
    "/apis/apps/v1/watch/deployments",
)
DEPLOYMENTS = "/apis/apps/v1/deployments"
STREAMS = (
    "/watch?resource=deployments",
    "/w%61tch?resource=deployments",
    "/%77%61%74%63%68?resource=deployments",
    f"{DEPLOYMENTS}?watch=true",
    f"{DEPLOYMENTS}?%77atch=1",
    f"{DEPLOYMENTS}?watc%68=true",
    f"{DEPLOYMENTS}?watch",
    f"{DEPLOYMENTS}?x=1&watch",
    f"{DEPLOYMENTS}?watch=%31",
    f"{DEPLOYMENTS}?watch=nonsense",
    f"{DEPLOYMENTS}?watch=1&watch=0",
    "/apis/apps/v1/namespaces/shop/deployments?%77atch",
    "/%61pis/apps/v1/deployments?%77atch",
    "/apis/apps/v1/watch/deployments",
    "/apis/apps/v1/w%61tch/deployments",
    "/apis/apps/v1/watch/namespaces/shop/deployments/web",
    "/apis/apps/v1/%77atch/namespaces/shop/deployments",
    "/api/v1/watch/nodes",
    "/api/v1/nodes?w%61tch",
)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize("target", SOCKETS)
async def test_cross_site_websocket_hijacking_is_refused(live: Live, target: str) -> None:
    """kueueviz #12531, CVE-2026-44514, CVE-2026-34403, Headlamp #6796: servers that check no Origin answer 101."""
    foreign = await upgraded(live, target, Origin=EVIL)
    sandboxed = await upgraded(live, target, Origin="null")
    own = await upgraded(live, target, Origin="http://localhost")
    none = await upgraded(live, target)

    assert (foreign.code, sandboxed.code) == (403, 403)
    assert (own.code, none.code) == (101, 101)
    assert foreign.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("port", ["http://localhost:3000", "https://localhost", "http://127.0.0.1"])
async def test_another_port_of_this_machine_is_another_site(live: Live, port: str) -> None:
    """SameSite does not part them; Origin does."""
    assert (await upgraded(live, SOCKETS[0], Origin=port)).code == 403


@pytest.mark.parametrize("target", STREAMS)
@pytest.mark.parametrize("headers", [{"Origin": EVIL}, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}])
async def test_a_foreign_page_opens_no_stream(live: Live, target: str, headers: dict[str, str]) -> None:
    """It could not read it, but it would hold a seat for each visitor."""
    assert (await asked(live, target, **headers)).code == 403
    assert (await asked(live, target, method="HEAD", **headers)).code == 403


@pytest.mark.parametrize("target", STREAMS)
async def test_a_stream_is_one_however_it_is_spelled(target: str) -> None:
    """What opens it and what counts it read the same."""
    async with running(a_world(max_streams=1)) as live, connected(live) as wire:
        wire.write(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        first = await wire.answer()
        assert (first.code, first.headers["transfer-encoding"]) == (200, "chunked")
        assert live.app.serving.traffic.open_streams.total() == 1
        assert [(await asked(live, each)).code for each in STREAMS] == [429] * len(STREAMS)


@pytest.mark.parametrize(
    "target",
    [
        f"{DEPLOYMENTS}?watch=0",
        f"{DEPLOYMENTS}?watch=false",
        f"{DEPLOYMENTS}?watch=0&watch=1",
        f"{DEPLOYMENTS}?labelSelector=watch%3Dtrue",
        f"{DEPLOYMENTS}?xwatch=1",
        f"{DEPLOYMENTS}?watch;x=1",
        "/apis/apps/v1/namespaces/watch/deployments",
        "/apis/apps/v1/namespaces/shop/deployments/web?watch=1",
    ],
)
async def test_what_is_no_stream_needs_no_seat(target: str) -> None:
    async with running(a_world(max_streams=1)) as live, connected(live) as wire:
        wire.write(b"GET /watch?resource=deployments HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await wire.answer()
        assert (await asked(live, target, Origin=EVIL)).code == 200


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/-/refresh"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"),
        ("DELETE", "/versions"),
    ],
)
@pytest.mark.parametrize("headers", [{"Origin": EVIL}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}])
async def test_cross_site_request_forgery_is_refused(
    live: Live, method: str, target: str, headers: dict[str, str]
) -> None:
    answer = await asked(live, target, method=method, Content_Length="0", **headers)

    assert answer.code == 403
    assert "refused" in answer.message


async def test_a_page_that_is_listed_may() -> None:
    async with running(a_world(allow_origin=("https://portal.example",))) as live:
        assert (await upgraded(live, SOCKETS[0], Origin="https://portal.example")).code == 101
        assert (await upgraded(live, SOCKETS[0], Origin="https://portal.example.evil.example")).code == 403
        refreshed = await asked(live, "/-/refresh", method="POST", Content_Length="0", Origin="https://portal.example")
        assert refreshed.code == 202


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "",
     "localhost@evil.example", "[::1].evil.example", "127.1", "0x7f000001"],
)  # fmt: skip
async def test_dns_rebinding_is_refused(live: Live, host: str) -> None:
    """kubernetes #9287, linkerd2 #3083, mcp-server-kubernetes #304: a name of the attacker's is made to point here."""
    for target in ("/versions", "/", "/apis", "/metrics", "/-/status", "/watch?resource=deployments"):
        assert (await asked(live, target, host=host)).code in (400, 403), target
    rebound = await upgraded(live, SOCKETS[0], host=host, Origin=f"http://{host}")
    assert rebound.code in (400, 403)


async def test_a_probe_may_name_any_address(live: Live) -> None:
    """kubelet sends the pod's: a mirror that refused it would be restarted for ever (kubeflow mcp-server #91)."""
    assert (await asked(live, "/livez", host="10.1.2.3:8080")).code == 200


async def test_beyond_loopback_the_names_that_are_listed_are_the_only_ones() -> None:
    async with running(a_world(host="0.0.0.0", access="open", allow_host=("mirror.example",))) as live:
        assert (await asked(live, "/versions", host="mirror.example:8080")).code == 200
        assert (await asked(live, "/versions", host="evil.example")).code == 403


@pytest.mark.parametrize(
    "target", ["/versions", "/apis/apps/v1/deployments", "/livez", "/nothing", "/apis/x/v1/y", "/"]
)
async def test_no_answer_is_guessed_at_or_told_to_others(live: Live, target: str) -> None:
    answer = await asked(live, target)

    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
