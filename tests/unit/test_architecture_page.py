"""What docs/architecture.md says of the rooms is what the code imports."""

import ast
import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "autoloader_dagster"


def test_each_room_uses_the_rooms_that_its_row_names() -> None:
    drawn = _drawn((_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"))
    rooms = {folder.name for folder in _PACKAGE.iterdir() if (folder / "__init__.py").exists()}

    assert set(drawn) == rooms
    assert drawn == {room: _imported(room) & rooms for room in rooms}


def test_each_file_that_the_page_names_is_there() -> None:
    page = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_*]+\.py|(?:[a-z_*]+/)+)`", page))
    assert len(named) > 20

    bases = (_PACKAGE, _ROOT, *_PACKAGE.iterdir())
    missing = [name for name in sorted(named) if not any(any(b.glob(name)) for b in bases)]
    assert missing == []


def test_each_long_module_has_its_reason() -> None:
    page = (_ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    reasons = re.findall(r"^\| `([a-z_/0-9]+\.py)` \| [^|]+ \|$", page, re.MULTILINE)
    long = {
        str(file.relative_to(_PACKAGE))
        for file in _PACKAGE.rglob("*.py")
        if len(file.read_text(encoding="utf-8").splitlines()) > 300
    }
    assert set(reasons) == long


def _drawn(page: str) -> dict[str, set[str]]:
    """For each room, the rooms of the last column of its row."""
    rows = re.findall(r"^\| `(\w+)/` \|.*\|([^|]*)\|$", page, re.MULTILINE)
    return {room: set(re.findall(r"`(\w+)`", uses)) for room, uses in rows}


def _imported(room: str) -> set[str]:
    """The rooms and modules of the package that a room imports, for types or in functions too."""
    found: set[str] = set()
    for file in (_PACKAGE / room).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_PACKAGE.name):
                parts = (node.module or "").split(".")
                found |= {parts[1]} if parts[1:] else {alias.name for alias in node.names}
    return found - {room}
