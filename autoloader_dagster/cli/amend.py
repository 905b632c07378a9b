"""What commands on loaded files have in common: the choice, the question, and what stays."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from autoloader_dagster.cli.output import print_some

if TYPE_CHECKING:
    from autoloader_dagster.loading.changes.select_files import LeftAsItIs


FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE…",
        help="Names as 'files' shows them, full addresses, last parts as 2026/a.csv, or patterns "
        "with * and ?. A file of exactly this name comes before a pattern.",
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


def confirmed(yes: bool, as_json: bool, question: str) -> bool:
    """Whether to go on: by ``--yes``, or by a person at a terminal who says so."""
    if yes or as_json or not sys.stdin.isatty():
        return yes
    return typer.confirm(question, err=True)


def print_left(left: "Sequence[LeftAsItIs]", base: str) -> None:
    """The files that nothing is done with, and why."""
    if left:
        print_some(
            ("file", "status", "why"),
            [(each.path.removeprefix(base), each.status, each.reason) for each in left],
            f"{len(left):,} files stay as they are",
            "--json",
        )


def left_json(left: "Sequence[LeftAsItIs]") -> list[dict[str, str]]:
    """The same for programs."""
    return [{"path": each.path, "status": each.status, "reason": each.reason} for each in left]
