"""The tree of errors is what its own drawing says."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module

import penstock
from penstock import errors
from penstock.errors import PenstockError

LINE = re.compile(r"(?P<branches>[│├└─ ]*)(?P<name>[A-Z]\w+)(?:\s+.*?)?(?:exit (?P<code>\d+))?$")
"""A line of the drawing: the branches before a name, and the exit code at its end."""


def drawn() -> dict[str, tuple[str | None, int]]:
    """Each error in the drawing, with its parent and the exit code that it, or the nearest above it, names."""
    tree: dict[str, tuple[str | None, int]] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if (found := LINE.fullmatch(line)) and (not found["branches"] or "─" in found["branches"]):
            depth = len(found["branches"]) // 4
            if depth == 0 and not hasattr(errors, found["name"]):
                continue
            above[depth:] = [found["name"]]
            parent = above[depth - 1] if depth else None
            inherited = tree[parent][1] if parent else PenstockError.exit_code
            tree[found["name"]] = (parent, int(found["code"]) if found["code"] else inherited)
    return tree


def defined(error: type[PenstockError]) -> Iterator[type[PenstockError]]:
    """An error and everything derived from it, in any module of the package."""
    yield error
    for child in error.__subclasses__():
        yield from defined(child)


def test_the_drawing_is_the_tree() -> None:
    """Every error stands in it once, under its parent, with its exit code."""
    for module in pkgutil.walk_packages(penstock.__path__, "penstock."):
        if module.name != "penstock.__main__":
            import_module(module.name)
    real = {
        error.__name__: (None if error is PenstockError else error.__base__.__name__, error.exit_code)
        for error in defined(PenstockError)
        if error.__base__ is not None and error.__module__.startswith("penstock.")
    }
    assert drawn() == real


def test_every_error_is_public() -> None:
    """All of them live in `penstock.errors`, where a user looks for them."""
    assert {error.__module__ for error in defined(PenstockError)} == {"penstock.errors"}


def test_an_error_reads_as_what_happened_and_what_to_do() -> None:
    """The hint stands on a line of its own behind the message."""
    assert str(PenstockError("It broke.", "Mend it.")) == "It broke.\nMend it."
    assert str(PenstockError("It broke.")) == "It broke."
