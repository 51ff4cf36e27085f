"""What is written as YAML is read as it was by every reader: of YAML 1.1, as PyYAML and Go are, and of 1.2."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from kubemirror.serve.yaml_form import to_yaml

_PYYAML: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# YAML 1.2.2, 10.3.2: what the core schema reads as something else than text.
_CORE = re.compile(
    r"null|Null|NULL|~||true|True|TRUE|false|False|FALSE|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN"
)
# go-yaml v2, resolve.go: words, and numbers once their underscores are gone.
_GO_WORD = re.compile(r"y|Y|yes|Yes|YES|on|On|ON|n|N|no|No|NO|off|Off|OFF|<<")
_GO_NUMBER = re.compile(
    r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]+|[0-9]+)|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
)
# What was read as something else, and what is written in many ways.
ODD = [
    *("1e3", "08", "12e03", "0o14", "y", "Y", "n", "N", "yes", "No", "on", "OFF", "null", "~", "", "true", "=", "<<"),
    *("0x1F", "0b11", "1_000", "-6e_9", "1_000.5", "1:30", "190:20:30.15", ".5", "5.", "-.inf", ".NaN", "+1", "1e999"),
    *("0777", "0_7", "1.", "1.e3", "2001-01-01", "2001-1-1", "2001-12-14t21:59:43.10-05:00", "2001-12-14 21:59:43 -5"),
    *("-", "--- a", "---", "...", "- a", "? a", ": a", "a: b", "a #b", "#a", "!x", "&x", "*x", "@x", "`x", "%x", "|"),
    *("> x", "[a", "{a", "a,b", "'a", '"a', "\ta", "a\t", " a", "a ", "a\n", "\na", "a\nb", "a\n\n", "\n", "\n\n"),
    *(" \n", " a\nb", "a \nb", "a\n b\n", "\ta\nb", "a\n\tb\n", "a\r\nb\r\n", "\r", "a\u2028b", "a\x85b", "a\u2028\nb"),
    *("\ufeffa", "日本", "é\nü\n", "\x07", "\x7f", "a\x9fb", "😀\nb", "word " * 60, "#!/bin/sh\nset -e\n\n\necho\n"),
]


def read(value: Any) -> Any:
    return yaml.load(to_yaml(value), Loader=_PYYAML)


@pytest.mark.parametrize("text", ODD)
def test_odd_text_stays_text(text: str) -> None:
    document = {"apiVersion": "v1", "items": [text, {text: text}]}

    assert read(document) == document
    assert_plain_is_text(document)


@settings(max_examples=400, deadline=None)
@given(
    st.one_of(
        st.text(max_size=12),
        st.text(alphabet="0123456789_.:+-eExXoObBTZ ~ynYN=<", max_size=8),
        st.text(alphabet="ab \n\t#:-\r\u2028é", max_size=12),
    )
)
def test_any_text_stays_text(text: str) -> None:
    document = {"a": {text: [text]}}

    assert read(document) == document
    assert_plain_is_text(document)


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_document_is_read_as_it_was(document: Any) -> None:
    assert read(document) == document


def test_lines_are_a_literal_block() -> None:
    assert to_yaml({"run": "#!/bin/sh\nset -e\n\necho done\n"}) == (b"run: |\n  #!/bin/sh\n  set -e\n\n  echo done\n")


def test_what_needs_no_quotes_has_none() -> None:
    plain = ["web", "1.2.3", "10.0.0.1", "v1", "nginx:1.25", "a-b_c", "100m", "2Gi", "yesterday", "2/3", "sha256:0e1"]

    assert to_yaml(plain).decode().splitlines() == [f"- {each}" for each in plain]


def assert_plain_is_text(document: Any) -> None:
    """Nothing that is written without quotes is more than text to any reader."""

    def scalars(node: yaml.Node) -> list[yaml.ScalarNode]:
        if isinstance(node, yaml.ScalarNode):
            return [node]
        inner = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
        return [found for each in inner for found in scalars(each)]

    for each in scalars(yaml.compose(to_yaml(document), Loader=_PYYAML)):
        if each.style is None:
            assert each.tag == "tag:yaml.org,2002:str", each.value
            assert _CORE.fullmatch(each.value) is None
            assert _GO_WORD.fullmatch(each.value) is None
            assert each.value[:1] in "_" or _GO_NUMBER.fullmatch(each.value.replace("_", "")) is None
