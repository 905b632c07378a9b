"""The declared dependencies are those that the package imports."""

import ast
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_ROOT = Path(__file__).parents[2]
_PACKAGE = _ROOT / "autoloader_dagster"

# Declared and not imported, with the reason.
_NOT_IMPORTED = {
    "dagster-postgres": "the storage of a Dagster instance, named in its dagster.yaml",
    "dagster-aws": "the logs of runs in S3, named in its dagster.yaml",
}
# Imported and not declared, because the other one asks for its exact version.
_PART_OF = {"pydantic-core": "pydantic", "dagster-shared": "dagster"}
# Only type checkers know it.
_FOR_TYPES = {"_typeshed"}


def _imported() -> set[str]:
    """Top-level modules, also those that a function imports."""
    found: set[str] = set()
    for file in _PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split(".")[0])
    return found - {_PACKAGE.name} - _FOR_TYPES - sys.stdlib_module_names


def _declared() -> dict[str, Requirement]:
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [Requirement(text) for text in project["dependencies"]]
    return {_normal(each.name): each for each in requirements}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    distributions = packages_distributions()
    names = {each for module in _imported() for each in distributions.get(module, [module])}
    imported = {_PART_OF.get(_normal(name), _normal(name)) for name in names}
    assert imported - set(_declared()) == set(), "imported and not declared"
    assert set(_declared()) - imported == set(_NOT_IMPORTED)


def test_libraries_are_declared_by_ranges() -> None:
    """An exact version would keep other projects from installing the package beside theirs."""
    for name, requirement in _declared().items():
        operators = {each.operator for each in requirement.specifier}
        assert ">=" in operators, name
        assert "==" not in operators, name
