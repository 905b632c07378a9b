"""``run``: load what is pending, now and here, as a run of the ingestion's Dagster asset."""

from collections import defaultdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster import errors
from autoloader_dagster.cli.amend import YesOption
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.output import (
    JsonOption,
    print_json,
    print_some,
    print_table,
    progress,
    say,
    size,
    snapshot,
)
from autoloader_dagster.cli.project import open_specs, source_base
from autoloader_dagster.cli.reload import not_loaded_again, reload_loaded
from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.orchestration.launch import RunReport
    from autoloader_dagster.orchestration.launch_job import JobReport
    from autoloader_dagster.processed_files.records import FileRow

_SHOWN = 40


def run(
    name: Name,
    partition: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only this partition; default all.")
    ] = None,
    reload: Annotated[
        bool,
        typer.Option(
            "--reload",
            help="Load what is loaded once more, its rows replaced; without --yes only say what.",
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Load what is pending, as a run of the Dagster asset in this process."""
    settings = load_settings()
    specs = open_specs(settings)
    loaded = specs.get(name)
    if reload:
        again = reload_loaded(loaded, specs, settings, partition, yes=yes, as_json=as_json)
        if again is not None:
            raise_failure(again)
            if not_loaded_again(again):
                raise typer.Exit(1)
        return
    if yes:
        raise UsageError("--yes is for --reload, and does nothing else", "Leave it out.")
    with ending_in_order(), progress() as tell:
        tell("start")
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.orchestration.launch import run_now

        ensure_dagster_home(settings)
        report = run_now(loaded, specs.connections, partition, tell)
    if as_json:
        print_json(report_json(report))
    else:
        print_report(report, source_base(loaded))
    raise_failure(report)
    if report.set_aside:
        raise typer.Exit(1)


def raise_failure(report: "RunReport | JobReport") -> None:
    """Raise what a failed run failed with, as it was raised inside the run.

    Raises:
        AutoloaderError: The run failed; ``LoadError`` if it was no error of our own.
    """
    if report.failure is None:
        return
    kind = getattr(errors, report.failure.error, errors.LoadError)
    what, _, hint = report.failure.message.partition("\n  -> ")
    raise kind(what, hint or f"See the run {report.run_id} in the Dagster UI (autoloader up).")


def report_json(report: "RunReport") -> dict[str, Any]:
    """The run for programs; a contract."""
    return {
        "ingestion": report.ingestion,
        "run_id": report.run_id,
        "status": report.status,
        "files": {
            "loaded": report.files.loaded,
            "unchanged": report.files.unchanged,
            "quarantined": report.files.quarantined,
            "skipped": report.files.skipped,
            "held": report.files.held,
        },
        "same_content": [
            {"file": path, "same_as": other} for path, other in report.same_content.items()
        ],
        "rows": report.rows,
        "bad_rows": report.bad_rows,
        "bytes": report.bytes,
        "seconds": report.seconds,
        "batches": [
            {
                "batch_id": batch.id,
                "snapshot_id": snapshot(batch.snapshot_id),
                "files": batch.files,
                "rows": batch.rows,
            }
            for batch in report.batches
        ],
    }


def print_report(report: "RunReport", base: str) -> None:
    """The run for people: partitions, what was set aside, and a line that sums it up."""
    if report.loaded:
        _print_partitions(report.loaded)
    if report.set_aside:
        print_some(
            ("file", "status", "error", "why"),
            [
                (row.file_path.removeprefix(base), row.status, row.error_type, row.error_message)
                for row in report.set_aside
            ],
            f"{len(report.set_aside):,} files failed or quarantined",
            f"'autoloader files {report.ingestion} --status failed,quarantined'",
        )
    if report.same_content:
        say(
            f"{len(report.same_content):,} files have the content of a file that was loaded under "
            "another name; both are in the table, and 'autoloader undo' takes one out:"
        )
        print_some(
            ("file", "has the content of"),
            [
                (path.removeprefix(base), other.removeprefix(base))
                for path, other in report.same_content.items()
            ],
            "",
            "--json",
        )
    files = report.files
    nothing = "no file can be loaded" if report.set_aside else "nothing to load"
    words = [f"{files.loaded:,} files loaded"] if report.run_id else [nothing]
    if report.loaded:
        words.append(f"{report.rows:,} rows from {size(report.bytes)}")
    words += [
        f"{count:,} {what}"
        for count, what in (
            (report.bad_rows, "rows with something in _rescued"),
            (files.unchanged, "files unchanged"),
            (files.quarantined, "set aside"),
            (files.skipped, "skipped"),
            (files.held, "held"),
        )
        if count
    ]
    words += [report.note] if report.note else []
    run_id = f"run {report.run_id[:8]} " if report.run_id else ""
    say(f"{report.ingestion}: {', '.join(words)}; {run_id}{report.seconds:.1f} s")


def _print_partitions(loaded: "tuple[FileRow, ...]") -> None:
    groups: dict[str | None, list[FileRow]] = defaultdict(list)
    for row in loaded:
        groups[row.partition_key].append(row)
    ordered = sorted(groups.items(), key=lambda item: item[0] or "")
    print_table(
        ("partition", ">files", ">rows", ">bad rows", ">size"),
        (
            (
                key or "(none)",
                len(rows),
                sum(row.records_ingested or 0 for row in rows),
                sum(row.bad_records or 0 for row in rows),
                size(sum(row.file_size_bytes for row in rows)),
            )
            for key, rows in ordered[-_SHOWN:]
        ),
    )
    if len(ordered) > _SHOWN:
        say(f"… the last {_SHOWN} of {len(ordered):,} partitions")
