"""``import kubemirror`` is cheap, and everything it names is there."""

from __future__ import annotations

import subprocess
import sys
from inspect import getmodule
from types import ModuleType

import pytest

import kubemirror


def test_every_name_is_there_and_nothing_else_is_public() -> None:
    assert kubemirror.__all__ == sorted(kubemirror.__all__, key=lambda name: (name.islower(), name))
    for name in kubemirror.__all__:
        assert getattr(kubemirror, name) is not None
    public = {
        name
        for name, value in vars(kubemirror).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public - {"annotations", "import_module", "TYPE_CHECKING", "Final"} == set(kubemirror.__all__)
    assert set(kubemirror.__all__) <= set(dir(kubemirror))


def test_each_name_comes_from_where_it_is_made() -> None:
    for name, module in kubemirror._HOME.items():
        value = getattr(kubemirror, name)
        home = getmodule(value)
        assert home is None or home.__name__ == module or name == "Event"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Reflectr'"):
        kubemirror.Reflectr  # noqa: B018


def test_importing_it_imports_nothing_heavy() -> None:
    program = "import sys, kubemirror; print(*sorted(name for name in sys.modules if '.' not in name))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_env())

    heavy = {
        "aiohttp",
        "pydantic",
        "pydantic_settings",
        "msgspec",
        "orjson",
        "kubernetes_asyncio",
        "fastapi",
        "asyncio",
    }
    assert not heavy & set(found.stdout.split())


def test_the_reflector_needs_no_server_and_no_generated_models() -> None:
    program = "import sys; from kubemirror import Connection, Reflector, Writer, discover; print(*sorted(sys.modules))"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=_env())

    loaded = set(found.stdout.split())
    assert not {"fastapi", "uvicorn", "jinja2", "kubernetes_asyncio.client.models"} & loaded


def _env() -> dict[str, str]:
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
