"""Only one module changes the status of a file, and docs/statuses.md shows each change."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from autoloader_dagster.state.transitions import ALL, FIRST, TRANSITIONS

_ROOT = Path(__file__).parents[2]
_STATE = _ROOT / "autoloader_dagster" / "state"
_PAGE = (_ROOT / "docs" / "statuses.md").read_text(encoding="utf-8")
_SQL = re.compile(r"INSERT INTO processed_files|UPDATE processed_files[^;]*?\bstatus *=")
# Migrations change rows of earlier versions, and the models describe the column.
_OTHERS = [
    path for path in sorted(_STATE.glob("*.py")) if path.name not in ("transitions.py", "models.py")
]


def test_the_table_of_the_page_has_each_transition() -> None:
    header, *rows = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in _PAGE.splitlines()
        if re.match(r"\| (from|no row|[A-Z]+) \|", line) and line.count("|") > len(ALL)
    )
    shown = {
        (row[0], to): cell
        for row in rows
        for to, cell in zip(header[1:], row[1:], strict=True)
        if cell
    }
    assert set(shown) == {*TRANSITIONS} | {("no row", status) for status in FIRST}
    words = {word for cell in shown.values() for word in cell.split(", ")}
    assert words == set(re.findall(r"\*\*([a-z ]+)\*\*", _PAGE))


def test_the_diagram_of_the_page_has_transitions_only_and_each_status() -> None:
    arrows = re.findall(r"^  (\S+) --> (\w+):", _PAGE, re.MULTILINE)
    allowed = {*TRANSITIONS} | {("[*]", status) for status in FIRST}
    assert set(arrows) <= allowed
    assert {status for arrow in arrows for status in arrow} == {"[*]", *ALL}
    assert re.findall(r"^\| ([A-Z]+) \| [a-z]", _PAGE, re.MULTILINE)[: len(ALL)] == list(ALL)


def test_no_other_module_writes_the_status_of_a_file() -> None:
    assert [found for path in _OTHERS for found in _writes(path.read_text(), path.name)] == []


def test_each_way_to_write_a_status_is_seen() -> None:
    for code in (
        "connection.execute(insert(StoredFile), rows)",
        "dialect.insert(StoredFile).on_conflict_do_nothing()",
        "update(model).values(status='SUCCESS')",
        "update(model).values({'status': 'SUCCESS'})",
        "update(StoredFile).values(values)",
        "text('UPDATE processed_files SET status = 1')",
        "text('INSERT INTO processed_files (id) VALUES (1)')",
    ):
        assert list(_writes(code, "a.py")), code


def _writes(code: str, name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if _is_write(node):
            yield f"{name}:{getattr(node, 'lineno', '?')}: {ast.unparse(node)[:80]}"


def _is_write(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        function = ast.unparse(node.func).rpartition(".")[2]
        if function in ("insert", "update"):
            return [ast.unparse(argument) for argument in node.args] == ["StoredFile"]
        status = [each.value for each in node.keywords if each.arg == "status"]
        return function == "values" and any(_is_status(value) for value in status)
    if isinstance(node, ast.Dict):
        return any(
            isinstance(key, ast.Constant) and key.value == "status" and _is_status(value)
            for key, value in zip(node.keys, node.values, strict=True)
        )
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return _SQL.search(node.value) is not None
    return False


def _is_status(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value in ALL
