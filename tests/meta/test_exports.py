"""The public face of the package: what it offers is listed, sorted and documented."""

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import penstock

MODULES = [
    import_module(module.name)
    for module in pkgutil.walk_packages(penstock.__path__, "penstock.")
    if module.name != "penstock.__main__"
]
"""Every module, imported."""
FACES = [penstock, *(module for module in MODULES if hasattr(module, "__all__"))]
"""Modules that say what they offer."""


@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.__name__))
def test_what_is_offered_is_sorted_and_there(face: ModuleType) -> None:
    """Each name once, in order, and each can be had."""
    assert face.__all__ == sorted(set(face.__all__))
    assert [name for name in face.__all__ if not hasattr(face, name)] == []


@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.__name__))
def test_nothing_public_is_forgotten(face: ModuleType) -> None:
    """Every class and function of Penstock that can be had from it is on its list."""
    had = {
        name
        for name, value in vars(face).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__.startswith("penstock")
    }
    assert had <= set(face.__all__)


@pytest.mark.parametrize("face", FACES, ids=lambda face: str(face.__name__))
def test_everything_offered_is_documented(face: ModuleType) -> None:
    """`help()` has a sentence of our own for each class and function, and the face for itself."""
    offered = [getattr(face, name) for name in face.__all__]
    bare = [value for value in offered if not isinstance(value, str) and not vars(value).get("__doc__", value.__doc__)]
    assert face.__doc__
    assert bare == []


def test_every_module_says_what_it_promises() -> None:
    """A docstring stands at its head, unless it is empty."""
    silent = [module.__name__ for module in MODULES if not module.__doc__ and Path(str(module.__file__)).read_text()]
    assert silent == []
