"""Counts have their noun in the right number."""

import re
from pathlib import Path

import pytest

from autoloader_dagster.counts import counted

PACKAGE = Path(__file__).parents[2] / "autoloader_dagster"
# Such as f"{number} files" and "%d files".
_PLURAL = re.compile(
    r"(?:(?<!of )\{[^{}\"']+\}|%d) (?:bad |large |more |new |unused )?"
    r"(?:files|rows|batches|runs|specs|objects|faults|lines)\b"
)
# Where one cannot be.
_NEVER_ONE = ("LONGEST", "MAX", "limit")


@pytest.mark.parametrize(
    ("count", "words", "shown"),
    [(0, ("file",), "0 files"), (1, ("file",), "1 file"), (2_000, ("file",), "2,000 files"),
     (1, ("batch", "batches"), "1 batch"), (2, ("file is", "files are"), "2 files are")],
)  # fmt: skip
def test_one_is_one_and_all_others_are_several(
    count: int, words: tuple[str, ...], shown: str
) -> None:
    assert counted(count, *words) == shown


def test_no_message_has_a_plural_behind_a_number_that_may_be_one() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{number}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if _PLURAL.search(line) and not any(word in line for word in _NEVER_ONE)
    ]
    assert found == []
