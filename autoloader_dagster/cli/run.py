"""``run``: load what is pending, now and here, as a run of the ingestion's Dagster asset."""

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster import errors
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import (
    JsonOption,
    Progress,
    print_error,
    print_json,
    print_table,
    progress,
    say,
)
from autoloader_dagster.cli.project import left_out, open_specs, source_base
from autoloader_dagster.cli.render.shapes import BATCHES_OF_RUN, FILES, SAME_CONTENT
from autoloader_dagster.counts import counted, shown_counts, shown_size
from autoloader_dagster.errors import UsageError
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet

if TYPE_CHECKING:
    from autoloader_dagster.orchestration.runs.run_asset import RunReport
    from autoloader_dagster.orchestration.runs.run_job import JobReport
    from autoloader_dagster.state.records import FileRow

_SHOWN = 40


def run(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME…", help="Names of specs, or tenant/name."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every spec that is active, one after the other.")
    ] = False,
    partition: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only this partition; default all.")
    ] = None,
    as_json: JsonOption = False,
    moved: Annotated[bool, typer.Option("--reload", "--yes", "-y", hidden=True)] = False,
) -> None:
    """Load what is pending, as a run of the Dagster asset in this process.

    Several specs are loaded one after the other, and one that fails does not stop the others.

    Example: autoloader run orders customers
    """
    if moved:
        raise UsageError(
            "'run' has no --reload and no --yes",
            "'autoloader reload NAME' loads again what is loaded.",
        )
    one = len(names or ()) == 1
    if everything == bool(names):
        raise UsageError(
            "'run' needs the names of specs, or --all" if not names else "--all is all specs",
            "Give the names of specs, or --all without names.",
        )
    if not one and partition is not None:
        raise UsageError("--partition is for one spec", "Name one spec.")
    settings = load_settings()
    specs = open_specs(settings)
    chosen = _chosen(specs, settings, names or [])
    with ending_in_order(), progress() as tell:
        tell("start")
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.orchestration.runs.run_asset import run_now

        ensure_dagster_home(settings)

        def load(loaded: LoadedSpec) -> "RunReport":
            return run_now(loaded, specs.connections, partition, tell)

        if not one:
            worst = _run_each(chosen, load, tell, as_json)
            if everything:
                worst = max(worst, left_out(specs, chosen, "no spec is active", "not loaded"))
            raise typer.Exit(worst)
        report = load(chosen[0])
    if as_json:
        print_json(report_json(report))
    else:
        print_report(report, source_base(chosen[0]))
    raise_failure(report)
    if report.bad_files:
        raise typer.Exit(1)


def _chosen(specs: SpecSet, settings: Settings, names: list[str]) -> list[LoadedSpec]:
    """The specs of these names, each once; without names those that are active.

    Raises:
        SpecError: There is no good spec of a name.
    """
    if not names:
        return [loaded for loaded in specs.specs if loaded.spec.status == "active"]
    found = [spec_named(specs, settings, name) for name in names]
    return list({each.ingestion_id: each for each in found}.values())


def _run_each(
    chosen: list[LoadedSpec],
    load: "Callable[[LoadedSpec], RunReport]",
    tell: Progress,
    as_json: bool,
) -> int:
    """Load one spec after the other, whatever becomes of the others; the worst exit code."""
    runs: list[dict[str, Any]] = []
    worst = 0
    for loaded in chosen:
        document: dict[str, Any] = {"ingestion": loaded.ingestion_id, "status": "FAILURE"}
        error: errors.AutoloaderError | None = None
        try:
            report = load(loaded)
            document = report_json(report)
            tell.done()
            if not as_json:
                print_report(report, source_base(loaded))
            worst = max(worst, 1 if report.bad_files else 0)
            raise_failure(report)
        except errors.AutoloaderError as raised:
            error = raised
            tell.done()
            print_error(error)
            worst = max(worst, errors.exit_code(error))
        runs.append(document | {"error": error.what if error else None})
    if as_json:
        print_json({"runs": runs})
    return worst


def raise_failure(report: "RunReport | JobReport") -> None:
    """Raise why a run failed, if it did.

    Raises:
        RunFailed: It did.
    """
    failure = report.failure
    if failure is not None:
        hint = failure.hint or f"See the run {report.run_id} in the Dagster UI (autoloader up)."
        raise errors.RunFailed(failure.what, hint, failure.exit_code)


def report_json(report: "RunReport") -> dict[str, Any]:
    """The run for programs; a contract."""
    return {
        "ingestion": report.ingestion,
        "run_id": report.run_id,
        "status": report.status,
        "files": {
            "loaded": report.files.loaded,
            "unchanged": report.files.unchanged,
            "failed": report.files.failed,
            "quarantined": report.files.quarantined,
            "skipped": report.files.skipped,
            "held": report.files.held,
            "waiting": report.files.waiting,
            "processing": report.files.processing,
        },
        "same_content": SAME_CONTENT.json_list(report.same_content.items()),
        "notes": list(report.notes),
        "rows": report.rows,
        "bad_rows": report.bad_rows,
        "bytes": report.bytes,
        "seconds": report.seconds,
        "batches": BATCHES_OF_RUN.json_list(report.batches),
    }


def print_report(report: "RunReport", base: str) -> None:
    """The run for people: partitions, bad files, and a line that sums it up."""
    if report.loaded:
        _print_partitions(report.loaded)
    if report.bad_files:
        FILES.print_some(
            report.bad_files,
            f"{counted(len(report.bad_files), 'file')} failed or quarantined",
            columns=("file", "status", "error", "reason"),
            base=base,
            where=f"'autoloader files {report.ingestion} --status failed,quarantined'",
        )
    if report.same_content:
        say(
            f"{counted(len(report.same_content), 'file has', 'files have')} the content of a file "
            "that was loaded under another name; both are in the table, and 'autoloader undo' "
            "takes one out:"
        )
        SAME_CONTENT.print_some(list(report.same_content.items()), base=base)
    for note in report.notes:
        say(f"! {note}")
    files = report.files
    nothing = "no file can be loaded" if report.bad_files else "nothing to load"
    words = [f"{counted(files.loaded, 'file')} loaded"] if report.run_id else [nothing]
    if report.loaded:
        words.append(f"{counted(report.rows, 'row')} from {shown_size(report.bytes)}")
    if report.bad_rows:
        words.append(counted(report.bad_rows, "row") + " with something in _rescued")
    if files.unchanged:
        words.append(counted(files.unchanged, "file") + " unchanged")
    words += shown_counts(
        {
            "failed": files.failed,
            "quarantined": files.quarantined,
            "skipped": files.skipped,
            "held": files.held,
            "waiting for the next run": files.waiting,
            "in batches of other runs": files.processing,
        }
    )
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
                sum(row.rows or 0 for row in rows),
                sum(row.bad_rows or 0 for row in rows),
                shown_size(sum(row.file_size_bytes for row in rows)),
            )
            for key, rows in ordered[-_SHOWN:]
        ),
    )
    if len(ordered) > _SHOWN:
        say(f"… the last {_SHOWN} of {len(ordered):,} partitions")
