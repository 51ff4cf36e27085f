"""/embed + any page's path: the same page without chrome, for a frame in a portal.

Neither handlers nor templates know of it. The prefix and the options of the frame are taken off the request before
anything else sees it, and put back into each link of the finished page, so that who follows one stays in the frame
as it was. What is no page (other forms, the API's contract) opens beside the portal.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import unquote_plus, urlencode, urlsplit

from kubemirror.serve.status import StatusError, bad_request

PREFIX = "/embed"
# What a frame is told by its portal, on each of its pages; every one of them goes on to the next page.
OPTIONS = ("theme", "accent", "parent")
THEMES = ("auto", "light", "dark")
# First segments of the paths that have a page.
_PAGES = ("", "resources", "versions")

_is_colour = re.compile(r"[0-9a-f]{6}").fullmatch
# Templates write attributes in double quotes, and what comes from a cluster has none that are not escaped.
_links = re.compile(r'<a\b(?P<before>[^<>]*?) href="(?P<url>[^"]*)"')
_watches = re.compile(r'(?P<head> data-watch=")(?P<url>[^"]*)(?P<tail>")')
_forms = re.compile(r'(?P<head><form\b[^<>]*? action=")(?P<url>[^"]*)(?P<tail>"[^<>]*>)')


@dataclass(frozen=True, slots=True)
class Embed:
    """How a frame is to look, and whom it tells its height. given: the options as they go on to the next page."""

    theme: str = "auto"
    accent: str = ""
    parent: str = ""
    given: tuple[tuple[str, str], ...] = ()


def is_embedded(path: str) -> bool:
    """Whether ``path`` (without the base path) is that of a page in a frame."""
    rest = path.removeprefix(PREFIX)
    return path.startswith(PREFIX) and rest[:1] in ("", "/") and _first(rest) in _PAGES


def options_of(query: str) -> tuple[Embed, str]:
    """The frame's options in ``query``, and what is left of it. What cannot be is left out: see ``problem_with``."""
    given: dict[str, str] = {}
    rest: list[str] = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if unquote_plus(name) not in OPTIONS:
            rest.append(part)
        elif value:
            given[unquote_plus(name)] = unquote_plus(value)
    theme, accent = given.get("theme", ""), given.get("accent", "").lower().removeprefix("#")
    embed = Embed(
        theme if theme in THEMES else "auto",
        accent if _is_colour(accent) else "",
        given.get("parent", ""),
        tuple(given.items()),
    )
    return embed, "&".join(rest)


def problem_with(embed: Embed, origins: tuple[str, ...]) -> StatusError | None:
    """What is wrong with a frame's options. origins: whose pages may frame ours."""
    given = dict(embed.given)
    if given.get("theme", "auto") not in THEMES:
        return bad_request(f'theme: "{given["theme"]}" is none of {", ".join(THEMES)}')
    if given.get("accent") and not embed.accent:
        return bad_request(f'accent: "{given["accent"]}" is no colour like 0a58ca')
    if embed.parent and embed.parent not in origins:
        return bad_request(
            f'parent: pages of "{embed.parent}" may not frame this one: allow it with --frame-ancestors {embed.parent}'
        )
    return None


def origins_of(ancestors: tuple[str, ...], own: str) -> tuple[str, ...]:
    """The origins that the setting names; ``own`` is this mirror's."""
    return tuple(own if each == "self" else each for each in ancestors if each != "none")


def carried(page: str, base: str, embed: Embed, token: str = "") -> str:
    """``page`` with the frame's prefix and options in its links and forms.

    token: what lets the frame's visitor read; it goes on to the next page as well, and to the page's own stream.
    """
    options = (*embed.given, ("embed", token)) if token else embed.given

    def link(found: re.Match[str]) -> str:
        url = unescape(found["url"])
        if "target=" in found["before"] or url.startswith("#"):
            return found[0]
        if not _is_page(url, base):
            return f'<a{found["before"]} target="_blank" rel="noopener" href="{found["url"]}"'
        return f'<a{found["before"]} href="{escape(_framed(url, base, options))}"'

    def form(found: re.Match[str]) -> str:
        hidden = "".join(f'<input type="hidden" name="{name}" value="{escape(value)}">' for name, value in options)
        return f"{found['head']}{escape(_framed(unescape(found['url']), base, ()))}{found['tail']}{hidden}"

    def watch(found: re.Match[str]) -> str:
        return f"{found['head']}{found['url']}&amp;{urlencode({'embed': token})}{found['tail']}"

    page = _forms.sub(form, _links.sub(link, page))
    return _watches.sub(watch, page) if token else page


def _is_page(url: str, base: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme or parts.netloc or not (parts.path == base or parts.path.startswith(base + "/")):
        return False
    others = [part for part in parts.query.split("&") if part.startswith("output=") and part != "output=html"]
    return _first(parts.path[len(base) :]) in _PAGES and not others


def _framed(url: str, base: str, given: tuple[tuple[str, str], ...]) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(given))))
    return parts._replace(path=f"{base}{PREFIX}{parts.path[len(base) :]}", query=query).geturl()


def _first(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""
