"""``reload``: load again what is loaded, after saying which files."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster.cli.amend import YesOption, confirmed, print_left
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import JsonOption, print_json, progress, say
from autoloader_dagster.cli.project import open_ingestion, open_specs, source_base
from autoloader_dagster.cli.render.shapes import BATCHES_OF_RELOAD, LEFT, RELOADED, TO_RELOAD
from autoloader_dagster.cli.run import raise_failure
from autoloader_dagster.counts import counted, shown_size
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.loading.changes.reload import ReloadPlan
    from autoloader_dagster.loading.ingestion import BatchOutcome


def reload(
    name: Name,
    partition: Annotated[
        str | None, typer.Option(metavar="KEY", help="Only this partition; default all.")
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Load again what is loaded, and replace its rows; without --yes only say what.

    Example: autoloader reload orders --partition 2026-01-05 --yes
    """
    settings = load_settings()
    specs = open_specs(settings)
    loaded = spec_named(specs, settings, name)
    base = source_base(loaded)
    keys = [partition] if partition is not None else []
    with ending_in_order(), progress() as tell:
        from autoloader_dagster.loading.changes.reload import plan_reload
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.orchestration.jobs.reload import RELOAD_JOB
        from autoloader_dagster.orchestration.runs.run_job import run_job_now
        from autoloader_dagster.state.records import PartitionKeys

        tell("ask the source for the loaded files")
        ingestion = open_ingestion(loaded, specs, settings)
        try:
            plan = plan_reload(ingestion, PartitionKeys(tuple(keys)) if keys else None)
        finally:
            ingestion.store.close()
        tell.done()
        if not as_json:
            _print_plan(plan, base)
        question = f"Load {counted(len(plan.files), 'file')} of {plan.table} again?"
        if not plan.files or not confirmed(yes, as_json, question):
            if as_json:
                print_json(_plan_json(plan))
            elif plan.files:
                say("nothing was changed; --yes does it")
            raise typer.Exit(0 if plan.files else 1)
        ensure_dagster_home(settings)
        config = {"ingestion": loaded.ingestion_id, "partitions": keys, "dry_run": False}
        report = run_job_now(specs, RELOAD_JOB, config, tell)
    raise_failure(report)
    outcomes: list[BatchOutcome] = report.value
    if as_json:
        print_json(_outcomes_json(plan, outcomes, report.run_id))
    else:
        _print_outcomes(plan, outcomes, report.run_id, base)
    if any(file.status != "SUCCESS" for outcome in outcomes for file in outcome.files):
        raise typer.Exit(1)


def _print_plan(plan: "ReloadPlan", base: str) -> None:
    TO_RELOAD.print_some(plan.files, base=base)
    print_left(plan.left, base)
    say(
        f"{plan.ingestion_id}: {counted(len(plan.files), 'file')}, {shown_size(plan.bytes)}, "
        f"would be loaded again, and take the place of {counted(plan.rows, 'row')} of {plan.table}"
    )


def _print_outcomes(
    plan: "ReloadPlan", outcomes: "list[BatchOutcome]", run_id: str, base: str
) -> None:
    kept = [file for each in outcomes for file in each.files if file.status != "SUCCESS"]
    LEFT.print_some(
        kept, f"{counted(len(kept), 'file was', 'files were')} not loaded again", base=base
    )
    made = [each.batch_id for each in outcomes if each.batch_id]
    batches = f"batches {', '.join(made)}" if made else "no batch"
    say(
        f"{plan.ingestion_id}: {counted(sum(len(each.loaded) for each in outcomes), 'file')} "
        f"loaded again, {counted(sum(each.rows for each in outcomes), 'row')}; {batches}; "
        f"run {run_id[:8]} {sum(each.seconds for each in outcomes):.1f} s"
    )


def _plan_json(plan: "ReloadPlan") -> dict[str, Any]:
    return {
        "ingestion": plan.ingestion_id,
        "table": plan.table,
        "dry_run": True,
        "run_id": None,
        "rows": plan.rows,
        "files": TO_RELOAD.json_list(plan.files),
        "left": LEFT.json_list(plan.left),
        "batches": [],
    }


def _outcomes_json(
    plan: "ReloadPlan", outcomes: "list[BatchOutcome]", run_id: str
) -> dict[str, Any]:
    files = [file for outcome in outcomes for file in outcome.files]
    return {
        "ingestion": plan.ingestion_id,
        "table": plan.table,
        "dry_run": False,
        "run_id": run_id,
        "rows": sum(outcome.rows for outcome in outcomes),
        "files": RELOADED.json_list(file for file in files if file.status == "SUCCESS"),
        "left": LEFT.json_list(file for file in files if file.status != "SUCCESS"),
        "batches": BATCHES_OF_RELOAD.json_list(each for each in outcomes if each.batch_id),
    }
