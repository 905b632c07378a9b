"""``undo``: take the rows of loaded files out of the table, after saying which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster.cli.amend import (
    FilesArgument,
    YesOption,
    confirmed,
    left_json,
    print_left,
)
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import (
    JsonOption,
    print_json,
    print_some,
    progress,
    say,
    snapshot,
)
from autoloader_dagster.cli.project import open_ingestion, open_specs, source_base
from autoloader_dagster.cli.run import raise_failure
from autoloader_dagster.errors import NotAsLoaded
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.loading.changes.undo import UndoOutcome
    from autoloader_dagster.loading.changes.undo_plan import LoadedVersion, UndoPlan


def undo(
    name: Name,
    files: FilesArgument = None,
    batch: Annotated[
        str | None, typer.Option(metavar="ID", help="Instead of files: all files of this batch.")
    ] = None,
    accept_differences: Annotated[
        bool,
        typer.Option(
            "--accept-differences",
            help="Take out what is there, even if it is not exactly what was loaded.",
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take the rows of loaded files out of the table; without --yes only say which."""
    settings = load_settings()
    specs = open_specs(settings)
    loaded = spec_named(specs, settings, name)
    base = source_base(loaded)
    with ending_in_order(), progress() as tell:
        from autoloader_dagster.loading.changes.undo_plan import plan_undo
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.orchestration.jobs.undo import UNDO_JOB
        from autoloader_dagster.orchestration.runs.run_job import run_job_now

        tell("count the rows in the table")
        ingestion = open_ingestion(loaded, specs, settings)
        try:
            plan = plan_undo(ingestion, files or (), batch)
        finally:
            ingestion.store.close()
        tell.done()
        if not as_json:
            _print_plan(plan, base)
        if plan.differences and not accept_differences:
            raise NotAsLoaded(
                f"the table does not hold exactly what was loaded: {plan.differences[0]}"
                + (f" (and {len(plan.differences) - 1} more)" if len(plan.differences) > 1 else ""),
                "Somebody changed or removed these rows; nothing was undone. With "
                "--accept-differences what is left of them goes.",
            )
        if not confirmed(yes, as_json, f"Take {plan.rows:,} rows out of {plan.table}?"):
            if as_json:
                print_json(_plan_json(plan))
            else:
                say("nothing was changed; --yes does it")
            return
        ensure_dagster_home(settings)
        config = {
            "ingestion": loaded.ingestion_id,
            "files": files or [],
            "accept_differences": accept_differences,
            "dry_run": False,
        }
        if batch is not None:
            config["batch_id"] = batch
        report = run_job_now(specs, UNDO_JOB, config, tell)
    raise_failure(report)
    if as_json:
        print_json(_outcome_json(loaded.ingestion_id, report.value, report.run_id))
    else:
        _print_outcome(loaded.ingestion_id, report.value, report.run_id, base)


def _print_plan(plan: "UndoPlan", base: str) -> None:
    _print_versions(plan.files, base)
    print_left(plan.left, base)
    for difference in plan.differences:
        say(f"! {difference}")
    say(
        f"{plan.ingestion_id}: {plan.rows:,} rows of {len(plan.files):,} files, loaded by "
        f"{_counted(len(plan.batches), 'batch', 'batches')}, would go from {plan.table}"
    )


def _print_outcome(ingestion: str, outcome: "UndoOutcome", run_id: str, base: str) -> None:
    print_left(outcome.left, base)
    say(
        f"{ingestion}: {outcome.rows:,} rows of {len(outcome.files):,} files went from "
        f"{outcome.table}; batch {outcome.batch_id}, snapshot {outcome.snapshot_id}, "
        f"run {run_id[:8]} {outcome.seconds:.1f} s"
    )


def _print_versions(files: "Sequence[LoadedVersion]", base: str) -> None:
    if not files:
        return
    print_some(
        ("file", "partition", "batch", ">rows loaded", ">rows in the table"),
        [
            (f.path.removeprefix(base), f.partition_key, f.batch_id, f.rows, f.rows_in_table)
            for f in files
        ],
        "",
        "--json",
    )


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _plan_json(plan: "UndoPlan") -> dict[str, Any]:
    return {
        "ingestion": plan.ingestion_id,
        "table": plan.table,
        "dry_run": True,
        "run_id": None,
        "batch_id": None,
        "snapshot_id": None,
        "rows": plan.rows,
        "files": _versions_json(plan.files),
        "left": left_json(plan.left),
        "differences": list(plan.differences),
    }


def _outcome_json(ingestion: str, outcome: "UndoOutcome", run_id: str) -> dict[str, Any]:
    return {
        "ingestion": ingestion,
        "table": outcome.table,
        "dry_run": False,
        "run_id": run_id,
        "batch_id": outcome.batch_id,
        "snapshot_id": snapshot(outcome.snapshot_id),
        "rows": outcome.rows,
        "files": _versions_json(outcome.files),
        "left": left_json(outcome.left),
        "differences": [],
    }


def _versions_json(files: "Sequence[LoadedVersion]") -> list[dict[str, Any]]:
    return [
        {
            "path": file.path,
            "partition": file.partition_key,
            "batch_id": file.batch_id,
            "rows": file.rows,
            "rows_in_table": file.rows_in_table,
        }
        for file in files
    ]
