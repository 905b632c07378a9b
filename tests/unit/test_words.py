"""The words of messages, descriptions and documentation are plain; see CONTRIBUTING.md."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What not to write, and what to write in its place.
AVOID = {
    r"\bmend(s|ed|ing)?\b": "fix, correct",
    r"\bsee to\b": "check",
    r"\banew\b": "again",
    r"\bstands?\b (?!-?still)": "is, means",
    r"(?<!there )\bis none\b(?! of)": "is not one, there is no",
    r"\bmay not\b": "must not, cannot, is perhaps not",
    r"\bsaid\b": "reported, told",
    r"\bset(s|ting)? aside\b": "quarantined, failed, skipped",
    r"\blook whether\b": "check that",
    r"\bwithout a hand\b": "automatically",
    r"\b(is|are) to blame\b": "has caused",
    r"(?<!plus )(?<!minus )\bsigns\b": "characters",
    r"[,;] for (it|they|there|some|others?) (is|are|has|have|does|do|may|was|were)\b": "because",
}


def problems(text: str) -> list[str]:
    return [
        f"'{found[0]}': write {better}"
        for pattern, better in AVOID.items()
        for found in re.finditer(pattern, text, re.IGNORECASE)
    ]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Strings of several words, and the first line of each docstring, with the line in the file."""
    tree = ast.parse(path.read_text())
    docstrings: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                docstrings.add(id(node.body[0].value))  # type: ignore[attr-defined]
                yield node.body[0].lineno, docstring.partition("\n")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [v.value if isinstance(v, ast.Constant) else "{}" for v in node.values]
            yield node.lineno, "".join(map(str, parts))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and " " in node.value
            and id(node) not in docstrings
        ):
            yield node.lineno, node.value


@pytest.mark.parametrize("package", sorted(p.name for p in (ROOT / "autoloader_dagster").iterdir()))
def test_messages_and_descriptions_use_plain_words(package: str) -> None:
    top = ROOT / "autoloader_dagster" / package
    files = [top] if top.suffix == ".py" else sorted(top.rglob("*.py"))
    found = {
        f"{path.relative_to(ROOT)}:{line}": problem
        for path in files
        for line, text in texts(path)
        for problem in problems(text)
    }
    assert not found


@pytest.mark.parametrize(
    "page", ["README.md", *(f"docs/{p.name}" for p in sorted((ROOT / "docs").glob("*.md")))]
)
def test_pages_use_plain_words(page: str) -> None:
    # Not the names of tests.
    text = re.sub(r"`[^`\n]*`", "", (ROOT / page).read_text())
    assert not [
        f"line {number}: {problem}"
        for number, line in enumerate(text.splitlines(), 1)
        for problem in problems(line)
    ]


def test_the_list_finds_what_it_is_for() -> None:
    assert problems("Mend it, for it is broken")
    assert not problems("Fix it, because it is broken; a plus sign stands still")
