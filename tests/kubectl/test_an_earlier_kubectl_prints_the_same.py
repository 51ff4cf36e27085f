"""Earlier kubectls ask in other ways: each group version's list, OpenAPI v2. What they print is the same still."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.cluster.programs import ProgramError, require
from tests.kubectl.commands import COMMANDS, FAILING
from tests.kubectl.conftest import EARLIER, Books
from tests.kubectl.kubectl import Kubectl, assert_same, unversioned

pytestmark = pytest.mark.timeout(240)


# Earlier kubectls print the keys in another order each time.
UNSTEADY = ("describe cm settings -n books",)


@pytest.fixture(scope="module", params=EARLIER)
def earlier(request: pytest.FixtureRequest, books: Books) -> Books:
    """The same namespace, read by another kubectl, which has caches of its own."""
    try:
        program = require(request.param)
    except ProgramError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None

    def of(kubectl: Kubectl) -> Kubectl:
        return Kubectl(program, kubectl.kubeconfig, kubectl.home / request.param)

    return replace(books, server=of(books.server), mirrored=of(books.mirrored))


@pytest.mark.parametrize("line", [line for line in (*COMMANDS, *FAILING) if line not in UNSTEADY])
def test_an_earlier_kubectl_prints_the_same(earlier: Books, line: str) -> None:
    server, mirror = earlier.both(line)

    if "--raw" in line:
        server, mirror = unversioned(server), unversioned(mirror)
    assert_same(server, mirror)
