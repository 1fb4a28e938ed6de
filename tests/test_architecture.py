"""``docs/architecture.md`` draws what the code does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "tabhero_hf"
ARROWS = re.compile(r"^    (\w+) --> (.+)$", re.MULTILINE)
BESIDE_THE_FLOORS = {"__init__", "_registration"}


def floor(module: str) -> str:
    return "model" if module.endswith("_tabhero") else module


def imported_modules(path: Path) -> Iterator[str]:
    """What a file imports of the package, as names right below the package."""
    folder = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if not isinstance(node, ast.ImportFrom):
            continue
        base = folder[: len(folder) + 1 - node.level] if node.level else ()
        module = (*base, *(node.module.split(".") if node.module else ()))
        if module[:1] == ("tabhero_hf",):
            yield from module[1:2] or [alias.name for alias in node.names]


def test_the_picture_of_the_floors_shows_all_imports_and_no_circle():
    imports = {}
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if module not in BESIDE_THE_FLOORS:
            imports.setdefault(floor(module), set()).update(map(floor, imported_modules(path)))
    imports = {module: names & imports.keys() - {module} for module, names in imports.items()}

    picture = ARROWS.findall((ROOT / "docs" / "architecture.md").read_text("utf-8"))
    drawn = {module: set(names.split(" & ")) for module, names in picture}
    assert {module: names for module, names in imports.items() if names} == drawn

    floors = imports
    while floors:
        bottom = {module for module, names in floors.items() if not names}
        assert bottom, f"a circle among {sorted(floors)}"
        floors = {module: names - bottom for module, names in floors.items() if module not in bottom}
