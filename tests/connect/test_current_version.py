"""The newest resourceVersion upstream, never older than the question; and refreshes that are joined."""

from __future__ import annotations

import asyncio

import pytest

from kubemirror.errors import UpstreamUnavailableError
from kubemirror.kube.transport import TransportError
from kubemirror.kube.upstream import ApiServer
from kubemirror.state.catalog import Resource, ServedVersion
from kubemirror.state.store import DIGEST_MODULUS, identity_digest
from tests.connect.scripted import Asked, Refreshes, Scripted, give

DEPLOYMENTS = Resource("apps", "v1", "deployments", "deployment", "Deployment", True, (ServedVersion("v1"),))


async def test_it_is_a_list_of_one_without_its_content() -> None:
    transport = Scripted(lambda asked: give(body=b'{"metadata":{"resourceVersion":"1234"},"items":[]}'))

    assert await ApiServer(transport, Refreshes()).current(DEPLOYMENTS) == 1234
    assert transport.asked == [
        Asked(
            "GET",
            "/apis/apps/v1/deployments",
            (("limit", "1"),),
            {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"},
            b"",
        )
    ]


async def test_a_digest_is_of_all_pages_in_the_namespace_that_may_be_read() -> None:
    items = [b'{"metadata":{"uid":"u-%d","resourceVersion":"%d"}}' % (number, number) for number in range(3)]
    pages = {
        None: b'{"metadata":{"resourceVersion":"9","continue":"more"},"items":[%s]}' % b",".join(items[:2]),
        "more": b'{"metadata":{"resourceVersion":"9"},"items":[%s]}' % items[2],
    }
    transport = Scripted(lambda asked: give(body=pages[dict(asked.query).get("continue")]))

    digest = await ApiServer(transport, Refreshes()).digest(DEPLOYMENTS, "shop")
    assert digest == sum(identity_digest(f"u-{number}", number) for number in range(3)) % DIGEST_MODULUS
    assert {asked.path for asked in transport.asked} == {"/apis/apps/v1/namespaces/shop/deployments"}
    assert await ApiServer(transport, Refreshes()).current(DEPLOYMENTS, "shop") == 9


async def test_nobody_gets_an_answer_older_than_the_question() -> None:
    """A request already under way may have been answered before the caller's own write."""
    versions = iter(range(1, 10))
    transport = Scripted(
        lambda asked: give(body=b'{"metadata":{"resourceVersion":"%d"}}' % next(versions)), gate=asyncio.Event()
    )
    api = ApiServer(transport, Refreshes())
    first = asyncio.create_task(api.current(DEPLOYMENTS))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    later = [asyncio.create_task(api.current(DEPLOYMENTS)) for _ in range(20)]
    await asyncio.sleep(0)
    assert transport.gate is not None
    transport.gate.set()

    assert await first == 1
    assert set(await asyncio.gather(*later)) == {2}
    assert len(transport.asked) == 2


async def test_thousands_who_ask_how_far_upstream_is_share_two_questions() -> None:
    transport = Scripted(lambda asked: give(body=b'{"metadata":{"resourceVersion":"9"}}'))
    api = ApiServer(transport, Refreshes())

    assert set(await asyncio.gather(*(api.horizon(DEPLOYMENTS) for _ in range(1000)))) == {9}
    assert len(transport.asked) == 2


async def test_how_far_a_mirror_is_does_not_tell_how_far_upstream_is() -> None:
    body = b'{"metadata":{"resourceVersion":"9"}}'
    transport = Scripted(lambda asked: give(body=body, cache_status="kubemirror; hit"))

    assert await ApiServer(transport, Refreshes()).horizon(DEPLOYMENTS) is None


@pytest.mark.parametrize(
    ("transport", "message"),
    [
        (Scripted(lambda asked: TransportError("nobody there", kind="refused")), "nobody there"),
        (Scripted(lambda asked: give(403, b'{"kind":"Status","message":"forbidden"}')), r"forbidden \(403\)"),
        (Scripted(lambda asked: give(body=b"[]")), "is not a JSON object"),
        (Scripted(lambda asked: give(body=b'{"metadata":{}}')), "without a resourceVersion"),
        (Scripted(lambda asked: give(body=b'{"metadata":{"resourceVersion":"a-1"}}')), "without a resourceVersion"),
    ],
)
async def test_what_cannot_be_asked_is_an_error(transport: Scripted, message: str) -> None:
    with pytest.raises(UpstreamUnavailableError, match=message):
        await ApiServer(transport, Refreshes()).current(DEPLOYMENTS)


async def test_refreshes_of_the_same_are_one() -> None:
    refreshes = Refreshes()
    api = ApiServer(Scripted(lambda asked: give()), refreshes)

    names = await asyncio.gather(*(api.refresh("pods") for _ in range(5)), api.refresh(None))

    assert names == [["pods"]] * 5 + [["deployments.apps"]]
    assert refreshes.asked == ["pods", None]
