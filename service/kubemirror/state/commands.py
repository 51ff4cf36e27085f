"""Passwords that programs take by a letter: ``mysql -pX``, ``curl -u user:X``, ``docker login -p X``.

The letters mean other things elsewhere (``ssh -p 22``, ``docker run -u 1000:1000``), so the program decides; in a list
of arguments, which may stand apart from its program, also that a user is named, or that the value is as passwords are
that nobody makes up.
"""

from __future__ import annotations

import re
from typing import Any

from kubemirror.state.secrets import HIDDEN, referring

PROGRAMS = ("mysql", "mariadb", "mongo", "sshpass", "curl", "docker login", "helm registry login", "redis-cli")
_ATTACHED = r"mysql\w*|mariadb[\w-]*|mongo\w*|sshpass"
# 300 characters of one command: no line is looked through to its end for each program in it.
_COMMAND = re.compile(
    rf"\b(?:(?:{_ATTACHED})\b[^\n|;&]{{0,300}}?\s-p(?P<attached>[^\s\"'|;&]+|[\"'][^\"']+)"
    r"|(?:mongo\w*|sshpass|docker login|helm registry login)\b[^\n|;&]{0,300}?\s-p[ \t]+(?P<apart>[^\s|;&-][^\s|;&]*)"
    r"|redis-cli\b[^\n|;&]{0,300}?\s-a[ \t]*(?P<asked>[^\s|;&-][^\s|;&]*)"
    r"|curl\b[^\n|;&]{0,300}?\s(?:-u|--user)[ =]?[\"']?[^\s:\"']+:(?P<user>[^\s\"'|;&]+))"
)
_USER = re.compile(r"-u\w*|--user(?:name)?(?:=.*)?")
_OF_A_USER = re.compile(r"(?P<user>[\w.@-]*[A-Za-z_.@-][\w.@-]*):(?P<password>.+)", re.DOTALL)
# Ports, places and words are what -p takes elsewhere.
_HARMLESS = re.compile(r"[\d.:]+(?:/\w+)?|[./~].*|[a-z]{1,5}|.*/.*")
_MADE_UP = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[^\s/:]{10,}")


def in_command(text: str, found: list[str]) -> str:
    """A line of a shell without these passwords, which are added to ``found``."""
    return _COMMAND.sub(lambda match: _part(match, found), text)


def _part(match: re.Match[str], found: list[str]) -> str:
    group = match.lastgroup
    if group is None:
        return match.group()
    value = match[group]
    quote = value[:1] if value[:1] in "\"'" else ""
    said = value.strip("\"'")
    if not said or said.startswith("[redacted") or referring(said):
        return match.group()
    found.append(said)
    closing = quote if quote and value.endswith(quote) and len(value) > 1 else ""
    start, end = match.span(group)
    whole = match.string
    return f"{whole[match.start() : start]}{quote}{HIDDEN}{closing}{whole[end : match.end()]}"


def in_list(items: list[Any]) -> dict[int, int]:
    """Which of a list of arguments hold such a password, each with the place in it where the password begins."""
    texts = [item if item.__class__ is str else "" for item in items]
    lettered = [index for index, text in enumerate(texts) if text.startswith(("-p", "-u", "--user", "-a"))]
    places: dict[int, int] = {}
    if not lettered:
        return places
    programs = {text.rsplit("/", 1)[-1] for text in texts}
    takes = any(each.startswith(("mysql", "mariadb", "mongo", "sshpass")) for each in programs)
    login = "login" in programs or any(_USER.fullmatch(text) for text in texts)
    sends = "curl" in programs or any(text.startswith(("http://", "https://")) for text in texts)
    for index in lettered:
        text = texts[index]
        after = texts[index + 1] if index + 1 < len(texts) else ""
        if takes and text.startswith("-p") and len(text) > 2:
            places[index] = 2
        elif text == "-p" and after and not after.startswith("-"):
            harmless = _HARMLESS.fullmatch(after) is not None
            if (login and not harmless) or _MADE_UP.fullmatch(after) is not None or _alone(programs):
                places[index + 1] = 0
        elif text == "-a" and "redis-cli" in programs and after:
            places[index + 1] = 0
        elif sends and text in ("-u", "--user") and (user := _OF_A_USER.fullmatch(after)) is not None:
            places[index + 1] = user.start("password")
        elif sends and text.startswith("--user=") and (user := _OF_A_USER.fullmatch(text[7:])) is not None:
            places[index] = 7 + user.start("password")
    return {index: place for index, place in places.items() if not referring(texts[index][place:])}


def _alone(programs: set[str]) -> bool:
    return any(each.startswith(("mongo", "sshpass")) for each in programs)
