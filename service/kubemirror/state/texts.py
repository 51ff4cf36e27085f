"""A text without the secrets in it: a file, an annotation, a message, a line of a shell.

What a value is assigned to decides (``password: x``, ``token=x``, ``<secret>x</secret>``, ``--password x``), in the
notations that files in ConfigMaps have. Nothing is parsed as a whole: a text may hold several notations within each
other, or the half of one. A word that tells a secret is looked for, and only around it anything more. Every string of
every object comes here, so what has none of these words is left after a few searches for constants.
"""

from __future__ import annotations

import re

from kubemirror.state.blocks import Spans, block, brackets, heads, opens, replaced
from kubemirror.state.commands import PROGRAMS, in_command
from kubemirror.state.secrets import HIDDEN, WORD, hide_forms, nothing, referring

# One of these is in every text that assigns a secret.
_STEMS = ("pass", "secret", "token", "key", "cred", "pwd", "cookie", "dsn", "connection", "certificate-", "auth")
_ASSIGNED_STEMS = ("_pat=", "bearer=")
_TELLING = re.compile(rf"{WORD}|authorization|auth(?=\\*\")|pass(?![a-z])|pat(?= *=)|bearer(?= *=)")
# Names as long as this are told from a line's beginning; so no long line is looked through for each word in it.
_LONGEST_NAME = 120  # characters, indentation included
# A password may begin with a bracket. Lists that never end are looked through to the text's end, each: that many, and
# the rest is hidden.
_UNCLOSED = 8
_NEVER_ENDS = -1
_KEY = re.compile(r"(?P<indent>[ \t]*(?:-[ \t]+)*)\\*[\"']?(?P<name>[\w./-]*)")
_FLAG = re.compile(r"(?:^|[\s\"'(=])--?[\w.-]*$")
_HEADER = re.compile(r"(?:[\"'=]|(?:^|\s)-H ?)(?:[A-Za-z]+-)+[\w-]*$")
_ELEMENT = re.compile(r"<[\w:.-]*$")
_DEFINED = re.compile(r"(?:define|setenv)\s*\(\s*[\"'][\w.-]*$")

# After the word: the rest of its name, a quote, and what assigns.
_REST = r"s?(?:[_.-]?(?:hash|value|base64|b64|\d{1,2}))?"
_ASSIGNS = re.compile(rf"(?i){_REST}(?P<quote>\\*[\"']?)[ \t]*(?P<sign>=>|:=|=(?!=)|:(?![:=]))(?P<space>[ \t]*)")
_GIVEN = re.compile(rf"(?i){_REST}[ \t]+[\"']?(?P<value>[^\s\"'|;&<>(){{}}-][^\s\"'|;&<>]*)")
_CONTENT = re.compile(rf"(?i){_REST}(?:\s[^<>]{{0,200}})?>(?:<!\[CDATA\[)?(?P<value>[^<>\]]+)(?:\]\]>)?</")
_SECOND = re.compile(rf"(?i){_REST}[\"']\s*,\s*(?P<quote>[\"'])(?P<value>[^\"'\n]+)(?P=quote)")
_AUTHORIZATION = re.compile(
    r"(?i)\\*[\"']?[ \t]*[:= ][ \t]*\\*[\"']?(?:(?P<scheme>basic|bearer|token|digest|key|api-?key|oauth|dpop|"
    r"ssws|splunk|negotiate|ntlm)[ \t]+(?P<credentials>[^\s\"'\\,;]{4,})"
    r"|(?P<value>(?=[^\s\"'\\,;]*\d)[^\s\"'\\,;]{8,}))"
)
# A value: quoted, by as many backslashes as its text is nested in others, or to the end of a word.
_VALUE = re.compile(
    r"\"(?P<double>(?:[^\"\\]|\\.)+)|\\\"(?P<escaped>(?:[^\"\\]|\\[^\"])+)|\\{2,}\"(?P<deeper>[^\"\\]+)"
    r"|'(?P<single>(?:[^']|'')+)|(?P<bare>[^\s\"',;&}\]\\]+)",
    re.DOTALL,
)
_WORD_OF_A_LINE = re.compile(r"\S*[^\s\"'}\],;\\]")
# "the flag --token is deprecated"
_PROSE = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "can", "cannot", "could", "does", "for", "from", "had",
        "has", "have", "if", "in", "instead", "into", "is", "it", "may", "must", "need", "no", "nor", "not", "of", "on",
        "option", "or", "should", "than", "that", "the", "then", "this", "to", "unless", "until", "use", "was", "were",
        "when", "where", "which", "will", "with",
    }
)  # fmt: skip
# {"name": "DB_PASSWORD", "value": …} in a text: an object within an annotation, a manifest within a ConfigMap.
_PAIR = re.compile(
    rf"(?im)\b(?:name|key)\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?[\w.-]{{0,64}}(?:{WORD})[\w.-]{{0,64}}\\*[\"']?\s*,?\s*"
    rf"\\*[\"']?value\\*[\"']?[ \t]*[:=][ \t]*\\*[\"']?(?P<bare>[^\"'\\\n,}}]+)"
    rf"|<name>[\w.-]{{0,64}}(?:{WORD})[\w.-]{{0,64}}</name>\s*<value>(?P<content>[^<]+)<"
)
_NETRC = re.compile(r"(?m)(?:\bmachine\s+\S+|^default)\s+(?:(?:login|account)\s+\S+\s+)+password\s+(?P<value>\S+)")


def hidden(text: str, found: list[str]) -> str:
    """``text`` without the secrets in it, which are added to ``found``; the very same object where there are none."""
    text = hide_forms(text, found)
    assigns = "=" in text
    if assigns or ":" in text or " -" in text or "--" in text or "<" in text or "define(" in text or "login " in text:
        low = _lowered(text)
        if _has(low, _STEMS) or (assigns and _has(low, _ASSIGNED_STEMS)):
            spans = _assigned(text, low, found)
            if spans:
                text = replaced(text, spans)
                low = _lowered(text)
        if " -" in low and _has(low, PROGRAMS):
            text = in_command(text, found)
    return text


def _has(low: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - any() and its generator cost three times as much
        if word in low:
            return True
    return False


def _lowered(text: str) -> str:
    low = text.lower()
    # A few letters become two when they are lowered; places must stay the same.
    return low if len(low) == len(text) else "".join(each.lower() if each.isascii() else each for each in text)


def _assigned(text: str, low: str, found: list[str]) -> Spans:
    spans: Spans = []
    until = 0  # what lies before was looked through as part of a list, an object or a block
    unclosed = 0
    for word in _TELLING.finditer(low):
        start, end = word.span()
        if spans and spans[-1][0] <= start < spans[-1][1]:
            continue
        if start and word.group() in ("pass", "pat", "bearer") and low[start - 1].isalpha():
            camel = word.group() == "pass" and text[start] == "P" and text[start - 1].islower()
            if not camel:
                continue
        reached = _around(text, start, end, word.group(), until, spans, found)
        until = max(until, reached)
        if reached == _NEVER_ENDS:
            unclosed += 1
            if unclosed == _UNCLOSED:
                found.append(text[end:])
                spans.append((end, len(text), HIDDEN))
                break
    if "value" in low:
        for pair in _PAIR.finditer(text):
            _hide(pair, "bare" if pair["bare"] is not None else "content", spans, found)
    if "login" in low:
        for entry in _NETRC.finditer(text):
            _hide(entry, "value", spans, found)
    return spans


def _around(text: str, start: int, end: int, word: str, until: int, spans: Spans, found: list[str]) -> int:
    """Hide what is assigned to the word at ``start``; where this was more than one value, the end of it all.

    _NEVER_ENDS for a bracket that is never closed.
    """
    line = text.rfind("\n", max(0, start - _LONGEST_NAME), start) + 1
    at_line = bool(line) or start <= _LONGEST_NAME
    before = text[line if at_line else start - _LONGEST_NAME : start]
    if word == "authorization":
        said = _AUTHORIZATION.match(text, end)
        if said is not None:
            _hide(said, "credentials" if said["scheme"] else "value", spans, found)
        return 0
    if word == "auth" and '"auths' not in text:  # a registry's credentials; of anything else it is the way to log in
        return 0
    assigns = _ASSIGNS.match(text, end)
    if assigns is not None:
        key = _KEY.fullmatch(before) if at_line else None
        sign, place = assigns["sign"], assigns.end()
        name = before[len(key["indent"]) :].lstrip("\\\"'") + word if key is not None else word
        if sign != ":" or assigns["quote"]:
            yaml = sign == ":" and key is not None
        elif key is not None and (assigns["space"] or text[place : place + 1] in ("", "\n", "\r")):
            yaml = True
        elif key is not None and ("." in name or word.startswith(("passw", "passphrase", "pwd"))):
            yaml = not text.startswith("//", place)
            if not yaml:
                return 0
        elif assigns["space"] and _HEADER.search(before) is not None:
            yaml = False
        else:
            return 0
        plural = name + text[end : assigns.start("quote")]
        if opens(text, place):
            if place < until:
                return 0
            closed = brackets(text, place, plural, spans, found)
            if closed:
                return closed
            _value(text, place, plural, spans, found, line=yaml and not assigns["quote"])
            return _NEVER_ENDS
        if yaml and key is not None and heads(text, place):
            return 0 if place < until else block(text, place, len(key["indent"]), plural, spans, found)
        _value(text, place, plural, spans, found, line=yaml and not assigns["quote"])
        return 0
    if _ELEMENT.search(before) is not None:
        content = _CONTENT.match(text, end)
        if content is not None:
            _hide(content, "value", spans, found)
    elif _FLAG.search(before) is not None:
        given = _GIVEN.match(text, end)
        if given is not None and given["value"].lower() not in _PROSE:
            _hide(given, "value", spans, found)
    elif _DEFINED.search(before) is not None:
        second = _SECOND.match(text, end)
        if second is not None:
            _hide(second, "value", spans, found)
    return 0


def _value(text: str, place: int, name: str, spans: Spans, found: list[str], *, line: bool) -> None:
    value = _VALUE.match(text, place)
    if value is None:
        return
    group = value.lastgroup or "bare"
    start, end = value.span(group)
    if line and group == "bare":
        word = _WORD_OF_A_LINE.match(text, place)
        end = word.end() if word is not None else end
    said = text[start:end]
    if not _stays(said, name):
        found.append(said)
        spans.append((start, end, HIDDEN))


def _hide(match: re.Match[str], group: str, spans: Spans, found: list[str]) -> None:
    if not _stays(match[group].strip(), ""):
        found.append(match[group].strip())
        spans.append((*match.span(group), HIDDEN))


def _stays(value: str, name: str) -> bool:
    # A reference to where it is (a variable, a template) tells nothing; what is hidden already stays.
    return value.startswith("[redacted") or nothing(value, name) or referring(value)
