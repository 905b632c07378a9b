"""What commands on loaded files have in common: the choice, the question, and what stays."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from autoloader_dagster.cli.render.shapes import LEFT
from autoloader_dagster.counts import counted

FilesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="FILE…",
        help="Names as 'files' shows them, full addresses, last parts as 2026/a.csv, or patterns "
        "with * and ?. A file of exactly this name comes before a pattern.",
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do what removes or changes, without asking.")
]


def confirmed(yes: bool, as_json: bool, question: str) -> bool:
    """Whether to go on: by ``--yes``, or by a person at a terminal who says so."""
    if yes or as_json or not sys.stdin.isatty():
        return yes
    return typer.confirm(question, err=True)


def print_left(left: Sequence[Any], base: str) -> None:
    """Print the files that nothing is done with, and why."""
    LEFT.print_some(
        left, counted(len(left), "file stays as it is", "files stay as they are"), base=base
    )
