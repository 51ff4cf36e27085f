"""Whatever is typed prints the same from a mirror as from the API server, byte for byte, ages aside."""

from __future__ import annotations

import pytest

from tests.kubectl.commands import COMMANDS, FAILING
from tests.kubectl.conftest import Books
from tests.kubectl.kubectl import Said, assert_same, unversioned

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_prints_the_same(books: Books, line: str) -> None:
    assert printed_the_same(books, line).code == 0


@pytest.mark.parametrize("line", FAILING)
def test_a_command_fails_with_the_same_words(books: Books, line: str) -> None:
    assert printed_the_same(books, line).code != 0


def printed_the_same(books: Books, line: str) -> Said:
    server, mirror = books.both(line)
    if "--raw" in line:
        server, mirror = unversioned(server), unversioned(mirror)
    assert_same(server, mirror)
    return server
