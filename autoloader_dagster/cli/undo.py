"""``undo``: take the rows of loaded files out of the table, after saying which."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.cli.amend import (
    FilesArgument,
    YesOption,
    confirmed,
    print_left,
)
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import (
    JsonOption,
    print_json,
    progress,
    say,
    snapshot,
)
from autoloader_dagster.cli.project import open_ingestion, open_specs, source_base
from autoloader_dagster.cli.render.shapes import LEFT, UNDONE
from autoloader_dagster.cli.run import raise_failure
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import NotAsLoaded
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.loading.changes.undo import UndoOutcome
    from autoloader_dagster.loading.changes.undo_plan import UndoPlan


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
    """Take the rows of loaded files out of the table; without --yes only say which.

    Example: autoloader undo orders 2026-01-05.csv --yes
    """
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
            plan = plan_undo(ingestion, files or (), BatchId(batch) if batch else None)
        finally:
            ingestion.store.close()
        tell.done()
        if not as_json:
            _print_plan(plan, base)
        if plan.differences and not accept_differences:
            raise NotAsLoaded(
                f"the table does not hold exactly what was loaded: {plan.differences[0]}"
                + (f" (and {len(plan.differences) - 1} more)" if len(plan.differences) > 1 else ""),
                "Nothing was undone. Either somebody changed or removed these rows; with "
                "--accept-differences what is left of them goes. Or the state is older than the "
                "table, for example restored from a backup, and a newer version took their place; "
                f"'autoloader reconcile {name} --yes' updates the state.",
            )
        if not confirmed(yes, as_json, f"Take {counted(plan.rows, 'row')} out of {plan.table}?"):
            if as_json:
                print_json(_json(loaded.ingestion_id, plan, dry_run=True))
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
        outcome: UndoOutcome = report.value
        made = {
            "run_id": report.run_id,
            "batch_id": outcome.batch_id,
            "snapshot_id": snapshot(outcome.snapshot_id),
        }
        print_json(_json(loaded.ingestion_id, outcome, dry_run=False) | made)
    else:
        _print_outcome(loaded.ingestion_id, report.value, report.run_id, base)


def _print_plan(plan: "UndoPlan", base: str) -> None:
    UNDONE.print_some(plan.files, base=base)
    print_left(plan.left, base)
    for difference in plan.differences:
        say(f"! {difference}")
    say(
        f"{plan.ingestion_id}: {counted(plan.rows, 'row')} of {counted(len(plan.files), 'file')}, "
        f"loaded by {counted(len(plan.batches), 'batch', 'batches')}, would go from {plan.table}"
    )


def _print_outcome(ingestion: str, outcome: "UndoOutcome", run_id: str, base: str) -> None:
    print_left(outcome.left, base)
    say(
        f"{ingestion}: {counted(outcome.rows, 'row')} of {counted(len(outcome.files), 'file')} "
        f"went from {outcome.table}; batch {outcome.batch_id}, snapshot {outcome.snapshot_id}, "
        f"run {run_id[:8]} {outcome.seconds:.1f} s"
    )


def _json(ingestion: str, found: "UndoPlan | UndoOutcome", *, dry_run: bool) -> dict[str, Any]:
    """What would be undone, or was, for programs; a contract."""
    return {
        "ingestion": ingestion,
        "table": found.table,
        "dry_run": dry_run,
        "run_id": None,
        "batch_id": None,
        "snapshot_id": None,
        "rows": found.rows,
        "files": UNDONE.json_list(found.files),
        "left": LEFT.json_list(found.left),
        "differences": list(getattr(found, "differences", ())),
    }
