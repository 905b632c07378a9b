"""``files`` and ``preview``: what would load, and why the rest would not."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import (
    JsonOption,
    print_json,
    print_rows,
    progress,
    say,
)
from autoloader_dagster.cli.project import open_ingestion, open_specs, source_base
from autoloader_dagster.cli.render.shapes import FILES, PREVIEW_BAD_FILES, PREVIEW_COLUMNS
from autoloader_dagster.counts import counted, shown_counts, shown_size
from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.loading.preview import Preview

_STATUSES = (
    "DISCOVERED", "HELD", "PROCESSING", "SUCCESS", "FAILED", "QUARANTINED", "SKIPPED", "REPLACED",
    "UNDONE",
)  # fmt: skip
# More rows than this tell a person nothing; the counts below the table are of all.
_SHOWN = 200

Name = Annotated[str, typer.Argument(metavar="NAME", help="Name of the spec, or tenant/name.")]


def files(
    name: Name,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help=f"Only these: {', '.join(_STATUSES)}.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many files.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the source; show what would load, and why the rest would not.

    Example: autoloader files orders --status failed,quarantined
    """
    chosen = _status(status)
    settings = load_settings()
    specs = open_specs(settings)
    loaded = spec_named(specs, settings, name)
    with progress() as tell:
        ingestion = open_ingestion(loaded, specs, settings)
        from autoloader_dagster.loading.discover import discover, why_nothing_was_listed

        try:
            found = discover(ingestion, lambda count: tell(f"list: {counted(count, 'file')}"))
            note = "" if found.listed else why_nothing_was_listed(ingestion)
            shown = limit if as_json or limit else _SHOWN
            rows = list(ingestion.store.files.find(ingestion.id, statuses=chosen, limit=shown))
            totals = ingestion.store.totals.counts(ingestion.id).get(ingestion.id, {})
        finally:
            ingestion.store.close()
    if as_json:
        print_json({"files": FILES.json_list(rows)})
        return
    base = source_base(loaded)
    FILES.print(
        rows,
        columns=("file", "size", "changed (UTC)", "partition", "status", "rows", "reason"),
        base=base,
    )
    known = sum(total.files for total in totals.values())
    if len(rows) == shown and known > len(rows):
        say(f"… the first {len(rows):,} of {known:,}; --status and --limit choose others")
    words = ", ".join(
        shown_counts({name.lower(): total.files for name, total in sorted(totals.items())})
    )
    listed = note or f"{counted(found.listed, 'file')} listed, {shown_size(found.bytes_listed)}"
    say(f"{listed}; known: {words or 'none'}")


def preview(
    name: Name,
    rows: Annotated[int, typer.Option(min=1, max=1000, help="At most so many rows.")] = 10,
    files: Annotated[int, typer.Option(min=1, max=100, help="From at most so many files.")] = 3,
    as_json: JsonOption = False,
) -> None:
    """Show the columns and some rows that a load would bring; nothing is written.

    Example: autoloader preview orders --rows 20 --files 1
    """
    settings = load_settings()
    specs = open_specs(settings)
    loaded = spec_named(specs, settings, name)
    with progress() as tell:
        ingestion = open_ingestion(loaded, specs, settings)
        from autoloader_dagster.loading.preview import preview as preview_of

        tell("read the first files")
        try:
            found = preview_of(ingestion, rows, files)
        finally:
            ingestion.store.close()
    if as_json:
        print_json(_preview_json(found))
    else:
        _print_preview(found, source_base(loaded))
    if not found.files and any(file.status == "QUARANTINED" for file in found.bad_files):
        raise typer.Exit(1)


def _status(status: str | None) -> "Any":
    if status is None:
        return None
    asked = [part.strip().upper() for part in status.split(",")]
    wrong = [part for part in asked if part not in _STATUSES]
    if wrong:
        raise UsageError(
            f"--status: unknown status '{wrong[0]}'", f"The statuses are {', '.join(_STATUSES)}."
        )
    return asked


def _preview_json(found: "Preview") -> dict[str, Any]:
    return {
        "table": found.table,
        "table_exists": found.table_exists,
        "pending": found.pending,
        "files": list(found.files),
        "columns": PREVIEW_COLUMNS.json_list(found.columns),
        "rows": list(found.rows),
        "unmatched_hints": list(found.unmatched_hints),
        "notes": list(found.notes),
        "bad_files": PREVIEW_BAD_FILES.json_list(found.bad_files),
    }


def _print_preview(found: "Preview", base: str) -> None:
    if not found.files and not found.bad_files:
        say("the source has no files")
        return
    PREVIEW_COLUMNS.print(
        found.columns,
        f"columns of {found.table}" + ("" if found.table_exists else " (not made yet)"),
    )
    names = list(dict.fromkeys(name for row in found.rows for name in row))
    print_rows(names, ([row.get(name) for name in names] for row in found.rows))
    if found.bad_files:
        PREVIEW_BAD_FILES.print(found.bad_files, "would not load", base=base)
    if found.unmatched_hints:
        say(f"schema.hints that match no column yet: {', '.join(found.unmatched_hints)}")
    for note in found.notes:
        say(f"! {note}")
    what = "pending" if found.pending else "nothing is pending; these are the newest"
    say(f"{counted(len(found.files), 'file')} ({what}); nothing was written or recorded")
