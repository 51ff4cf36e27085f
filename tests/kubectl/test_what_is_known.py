"""Discovery, restricted to what is mirrored and to reading; and who one is."""

from __future__ import annotations

import httpx
import pytest

from tests.kubectl.conftest import Books

pytestmark = pytest.mark.timeout(120)
READS = "get,list,watch"


def mirrored_resources(books: Books) -> set[tuple[str, str]]:
    """(plural, group/version) of everything that is mirrored, in each version that is served."""
    with httpx.Client(base_url=books.mirror.url, verify=books.mirror.verify) as client:
        resources = client.get("/-/status").json()["resources"]
    return {
        (each["resource"].partition(".")[0], f"{each['group']}/{version}" if each["group"] else version)
        for each in resources
        for version in each["versions"]
    }


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--namespaced=false",
        "--api-group=apps",
        "--categories=all",
        "--categories=library",
        "--verbs=list,watch",
        "--sort-by=name",
        "--sort-by=kind",
    ],
)
def test_api_resources_are_the_servers_as_far_as_they_are_mirrored(books: Books, flags: str) -> None:
    # Wide without a heading: columns are as wide as what is in them, and the widest may not be mirrored.
    server, mirror = books.both(f"api-resources --no-headers -o wide {flags}")
    known = mirrored_resources(books)

    assert server.code == mirror.code == 0
    rows = [read_row(line) for line in server.out.splitlines()]
    assert [read_row(line) for line in mirror.out.splitlines()] == [
        row for row in rows if (row[0], api_version(row)) in known
    ]
    assert mirror.err == server.err


def read_row(line: str) -> list[str]:
    """Its words, with no verbs but those that read: NAME [SHORTNAMES] APIVERSION NAMESPACED KIND VERBS [CATEGORIES]."""
    words = line.split()
    at = next(place for place, word in enumerate(words) if word in ("true", "false")) + 2
    words[at] = ",".join(verb for verb in words[at].split(",") if verb in READS.split(","))
    return words


def api_version(row: list[str]) -> str:
    return row[next(place for place, word in enumerate(row) if word in ("true", "false")) - 1]


def test_names_of_api_resources_are_the_servers(books: Books) -> None:
    server, mirror = books.both("api-resources -o name")
    known = {
        f"{plural}.{group.rpartition('/')[0]}" if "/" in group else plural
        for plural, group in mirrored_resources(books)
    }

    assert mirror.out.splitlines() == [name for name in server.out.splitlines() if name in known]


def test_api_versions_are_the_servers(books: Books) -> None:
    server, mirror = books.both("api-versions")
    known = {version for _, version in mirrored_resources(books)}

    assert mirror.out.splitlines() == [version for version in server.out.splitlines() if version in known]


def test_nobody_in_particular_asks(books: Books) -> None:
    said = books.mirrored.line("auth whoami").out

    assert said.split() == ["ATTRIBUTE", "VALUE", "Username", "system:anonymous", "Groups", "[system:unauthenticated]"]


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("auth can-i get pods", "yes"),
        ("auth can-i list books -n books", "yes"),
        ("auth can-i watch deployments.apps -A", "yes"),
        ("auth can-i delete pods", "no - read-only mirror"),
        ("auth can-i create deployments -n books", "no - read-only mirror"),
        ("auth can-i patch deploy/web --subresource=scale -n books", "no - read-only mirror"),
        ("auth can-i '*' '*'", "no - read-only mirror"),
    ],
)
def test_only_reading_may_be_done(books: Books, line: str, answer: str) -> None:
    said = books.mirrored.line(line)

    assert said.out.strip() == answer
    assert said.code == (0 if answer == "yes" else 1)


def test_what_may_be_done_is_listed(books: Books) -> None:
    said = books.mirrored.line("auth can-i --list")
    rules = [line.split() for line in said.out.splitlines()[1:]]

    assert ["*.*", "[]", "[]", "[get", "list", "watch]"] in rules
    assert {word.strip("[]") for rule in rules for word in rule[3:]} == {"get", "list", "watch"}
