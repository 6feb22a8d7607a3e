"""The house stands as it is drawn: every part imports itself and what lies below it, and nothing else of Penstock."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2] / "src" / "penstock"

FLOORS = (
    {"errors", "models", "clock", "version", "values"},
    {"options", "events", "redaction", "spread"},
    {"policy", "endpoints", "templates", "tokens", "pricing", "control"},
    {"sources", "sinks", "transport", "apis", "journal", "pools"},
    {"engine"},
    {"observe", "simulator", "local"},
    {"launch"},
    {"in_process"},
    {"cli"},
    {"__main__"},
)
"""Parts from the ground up. Those on one floor are neighbours and know nothing of each other."""

FACADE = "__init__"
"""The package itself: a door for users, through which no part goes."""

DECIDES_ONLY = ("policy", "apis", "templates")
"""Parts that decide and encode: no waiting, no clock, no chance, no socket."""
WORLDLY = {"asyncio", "time", "random", "socket", "threading", "os", "subprocess", "sqlite3", "uvloop", "pyreqwest"}


def part_of(path: Path) -> str:
    """The part that a module belongs to."""
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    """Every module of the package."""
    return sorted(HOUSE.rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the full name of every module that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.lineno, node.module
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


def imported_parts(path: Path) -> Iterator[tuple[int, str]]:
    """The line and the part of every import from Penstock itself."""
    for line, module in imports(path):
        package, _, rest = module.partition(".")
        if package == "penstock":
            yield line, rest.partition(".")[0] or FACADE


def test_every_part_has_its_place() -> None:
    """The map and the folder name the same parts, each on one floor."""
    mapped = [part for floor in FLOORS for part in floor]
    assert len(mapped) == len(set(mapped))
    assert set(mapped) == {part_of(path) for path in modules()} - {FACADE}


@pytest.mark.parametrize("floor", range(len(FLOORS)), ids=lambda floor: " ".join(sorted(FLOORS[floor])))
def test_imports_point_down(floor: int) -> None:
    """From a part to itself or to a floor below: never up, never to a neighbour, never through the front door."""
    below = {part for lower in FLOORS[:floor] for part in lower}
    wrong = [
        f"{path.relative_to(HOUSE)}:{line} imports {part}"
        for path in modules()
        if (own := part_of(path)) in FLOORS[floor]
        for line, part in imported_parts(path)
        if part not in below | {own}
    ]
    assert wrong == []


def test_the_lowest_modules_stand_alone() -> None:
    """Errors, nouns and time import nothing of Penstock, so that everything can import them."""
    wrong = [str(path) for path in modules() if part_of(path) in FLOORS[0] and list(imported_parts(path))]
    assert wrong == []


@pytest.mark.parametrize("part", DECIDES_ONLY)
def test_what_decides_touches_nothing(part: str) -> None:
    """Time, chance and what the network said come in as values."""
    wrong = [
        f"{path.relative_to(HOUSE)}:{line} imports {module}"
        for path in modules()
        if part_of(path) == part
        for line, module in imports(path)
        if module.partition(".")[0] in WORLDLY
    ]
    assert wrong == []
