"""Each test that docs/guarantees.md names as a proof is there."""

import ast
import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_every_proof_is_a_test() -> None:
    page = (_ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(test_\w+)::(\w*)", page))
    assert len(named) > 40

    missing = [f"{module}::{name}" for module, name in sorted(named) if not _is_there(module, name)]

    assert missing == []


def _is_there(module: str, name: str) -> bool:
    files = list((_ROOT / "tests").glob(f"*/{module}.py"))
    defined = {
        node.name
        for file in files
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef)
    }
    return name in defined
