"""A list, an object or a block of text that stands under a secret's name within a text, as YAML and JSON have them.

Its shape stays: as many items, the same keys. Of an object's values those are hidden that do not only tell about the
secret (``name``, ``secretRef``); switches stay, and numbers in objects.
"""

from __future__ import annotations

import re

from kubemirror.state.secrets import HIDDEN, aside, beside, keyed, nothing, referring

# From where, until where, and what is put there.
Spans = list[tuple[int, int, str]]

_TOKEN = re.compile(
    r"(?P<open>[\[{])|(?P<close>[\]}])|(?P<comma>,)|(?P<colon>:)|\"(?P<double>(?:[^\"\\]|\\.)*)\""
    r"|\\+\"(?P<escaped>[^\"\\]*)\\+\"|'(?P<single>(?:[^']|'')*)'|(?P<bare>[^\s\[\]{},:\"'\\]+)|\s+|.",
    re.DOTALL,
)
_SCALARS = ("double", "escaped", "single", "bare")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?$")
# After a key: a tag or an anchor, and then nothing but a block's sign or a comment.
_HEAD = re.compile(r"(?:[!&]\S*[ \t]+)*(?P<block>[|>][-+\d]{0,2})?[ \t]*(?:#[^\n]*)?\r?\n")
_LINE = re.compile(
    r"(?P<indent>[ \t]*)(?P<dashes>(?:-[ \t]+)*)(?P<key>[\"']?(?P<name>[\w./-]+)[\"']?[ \t]*:(?=[ \t\r\n]|\Z))?[ \t]*"
    r"(?P<value>[^\r\n]*)\r?\n?"
)
_BLOCK = re.compile(r"[|>][-+\d]{0,2}[ \t]*(?:#.*)?")
_COMMENT = re.compile(r"[ \t]+#.*")
_KEYED = re.compile(r"(?m)^[ \t]*(?:- +)?[\"']?(\w+)[\"']?:")


def opens(text: str, place: int) -> bool:
    """Whether a list or an object begins here, and no template or value that was hidden."""
    return text.startswith(("[", "{"), place) and not text.startswith((HIDDEN, "[redacted:", "{{"), place)


def heads(text: str, place: int) -> bool:
    """Whether a key of YAML has its value in the lines below."""
    return _HEAD.match(text, place) is not None


def replaced(text: str, spans: Spans) -> str:
    """``text`` with what is put in each span's place; of spans that overlap the first."""
    pieces: list[str] = []
    done = 0
    for start, end, instead in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start >= done:
            pieces += (text[done:start], instead)
            done = end
    return "".join((*pieces, text[done:]))


def brackets(text: str, place: int, name: str, spans: Spans, found: list[str]) -> int:
    """Hide what a list or an object in brackets holds. Where it ends; 0 if it never does, and nothing is hidden."""
    hides: Spans = []
    # Of each bracket around: whether it is an object, and whether what is in it stays; the keys of each so far.
    around: list[tuple[bool, bool]] = []
    keys: list[list[str]] = []
    held: list[tuple[int, int, str]] = []  # values that stay if others are beside them: key
    scalar: tuple[int, int, str] | None = None
    key = ""
    ends = 0
    for token in _TOKEN.finditer(text, place):
        kind = token.lastgroup
        if kind in _SCALARS:
            start, end = token.span(kind)
            scalar = (start, end, kind) if scalar is None else (scalar[0], end, "bare")
        elif kind == "colon" and around[-1][0] and not key and scalar is not None:
            key = text[scalar[0] : scalar[1]]
            keys[-1].append(key)
            scalar = None
        elif kind == "open":
            is_object, stays = around[-1] if around else (False, False)
            inner = stays or (is_object and (beside(key) or aside(key)))
            around.append((token.group() == "{", inner))
            keys.append([])
            scalar, key = None, ""
        elif kind in ("comma", "close"):
            is_object, stays = around[-1]
            if scalar is not None and not stays and not _shown(text, scalar, is_object, key, name):
                if key == "key":
                    held.append((scalar[0], scalar[1], HIDDEN))
                else:
                    hides.append((scalar[0], scalar[1], HIDDEN))
            scalar, key = None, ""
            if kind == "close":
                around.pop()
                if not keyed(keys.pop()):
                    hides += held
                held.clear()
                if not around:
                    ends = token.end()
                    break
    if not ends:
        return 0
    found += (text[start:end] for start, end, _ in hides)
    spans += hides
    return ends


def _shown(text: str, scalar: tuple[int, int, str], is_object: bool, key: str, name: str) -> bool:
    start, end, kind = scalar
    value = text[start:end]
    if value.startswith("[redacted") or nothing(value, name) or referring(value):
        return True
    return is_object and (beside(key) or (kind == "bare" and _NUMBER.match(value) is not None))


def block(text: str, place: int, column: int, name: str, spans: Spans, found: list[str]) -> int:
    """Hide what stands in the lines below a key of YAML, which ``heads`` them. Where they end.

    column: of the key; what is below it stands further to the right, items of a list also right below it.
    """
    head = _HEAD.match(text, place)
    if head is None:
        raise ValueError("the key's value is in its own line")
    start = head.end()
    if head["block"]:
        return _hide_block(text, start, column, spans, found)
    end = _ends(text, start, column, items=True)
    with_names = keyed(_KEYED.findall(text[start:end])) if "key:" in text[start:end] else False
    while start < end:
        line = _LINE.match(text, start)
        if line is None or line.end() == start:
            break
        start = line.end()
        value, field = line["value"].rstrip(), line["name"]
        own = len(line["indent"]) + len(line["dashes"])
        if not value and field is None:
            continue
        if value.startswith("#"):
            continue
        told = field is not None and (beside(field) or (field == "key" and with_names))
        if field is not None and (not value or _BLOCK.fullmatch(value) is not None):
            if told or aside(field):
                start = _ends(text, start, own, items=True)
            elif value:
                start = _hide_block(text, start, own, spans, found)
            continue
        if told or (field is not None and _NUMBER.match(value) is not None):
            continue
        at = line.start("value")
        if opens(text, at):
            closed = brackets(text, at, name, spans, found)
            if closed:
                start = max(start, closed)
                continue
        quoted = value[0] in "\"'" and len(value) > 1
        comment = None if quoted else _COMMENT.search(value)
        said = value if comment is None else value[: comment.start()]
        if quoted:
            at, said = at + 1, value[1:close] if (close := value.rfind(value[0])) > 0 else value[1:]
        if said and not said.startswith("[redacted") and not nothing(said, name) and not referring(said):
            found.append(said)
            spans.append((at, at + len(said), HIDDEN))
    return max(start, end)


def _hide_block(text: str, start: int, column: int, spans: Spans, found: list[str]) -> int:
    end = _ends(text, start, column, items=False)
    body = text[start:end]
    lines = [each.strip() for each in body.splitlines() if each.strip()]
    if lines and not (len(lines) == 1 and (lines[0].startswith("[redacted") or referring(lines[0]))):
        found += lines
        at = start + len(body) - len(body.lstrip())
        spans.append((at, start + len(body.rstrip()), HIDDEN))
    return end


def _ends(text: str, start: int, column: int, *, items: bool) -> int:
    """Where the lines end that belong to what stands at ``column`` in the line before ``start``."""
    while start < len(text):
        line = _LINE.match(text, start)
        if line is None or line.end() == start:
            break
        indent = len(line["indent"])
        empty = not line["value"].strip() and line["key"] is None and not line["dashes"]
        if not empty and indent <= column and not (items and indent == column and line["dashes"]):
            break
        start = line.end()
    return start
