"""``run --reload``: load partitions again that are loaded, after saying which."""

from typing import TYPE_CHECKING, Any

from autoloader_dagster.cli.amend import confirmed, print_left
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.output import print_json, progress, say
from autoloader_dagster.cli.project import open_ingestion, source_base
from autoloader_dagster.cli.render.shapes import BATCHES_OF_RELOAD, LEFT, RELOADED, TO_RELOAD
from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet
from autoloader_dagster.specs.values import shown_size

if TYPE_CHECKING:
    from autoloader_dagster.loading.changes.reload import ReloadPlan
    from autoloader_dagster.loading.ingestion import BatchOutcome
    from autoloader_dagster.orchestration.runs.run_job import JobReport


def reload_loaded(
    loaded: LoadedSpec,
    specs: SpecSet,
    settings: Settings,
    partition: str | None,
    *,
    yes: bool,
    as_json: bool,
) -> "JobReport | None":
    """Say what would be loaded again, ask, and do it.

    Returns:
        The job's report; None if nothing was done.
    """
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
        question = f"Load {len(plan.files):,} files of {plan.table} again?"
        if not plan.files or not confirmed(yes, as_json, question):
            if as_json:
                print_json(_plan_json(plan))
            elif plan.files:
                say("nothing was changed; --yes does it")
            return None
        ensure_dagster_home(settings)
        config = {"ingestion": loaded.ingestion_id, "partitions": keys, "dry_run": False}
        report = run_job_now(specs, RELOAD_JOB, config, tell)
    if report.failure is None:
        if as_json:
            print_json(_outcomes_json(plan, report))
        else:
            _print_outcomes(plan, report, base)
    return report


def not_loaded_again(report: "JobReport") -> bool:
    """Whether a file was asked for and is not loaded again."""
    outcomes: list[BatchOutcome] = report.value
    return any(file.status != "SUCCESS" for outcome in outcomes for file in outcome.files)


def _print_plan(plan: "ReloadPlan", base: str) -> None:
    TO_RELOAD.print_some(plan.files, base=base)
    print_left(plan.left, base)
    say(
        f"{plan.ingestion_id}: {len(plan.files):,} files, {shown_size(plan.bytes)}, would be "
        f"loaded again, and take the place of {plan.rows:,} rows of {plan.table}"
    )


def _print_outcomes(plan: "ReloadPlan", report: "JobReport", base: str) -> None:
    outcomes: list[BatchOutcome] = report.value
    kept = [file for each in outcomes for file in each.files if file.status != "SUCCESS"]
    LEFT.print_some(kept, f"{len(kept):,} files were not loaded again", base=base)
    batches = ", ".join(each.batch_id for each in outcomes if each.batch_id)
    say(
        f"{plan.ingestion_id}: {sum(len(each.loaded) for each in outcomes):,} files loaded again, "
        f"{sum(each.rows for each in outcomes):,} rows; batches {batches}; "
        f"run {report.run_id[:8]} {sum(each.seconds for each in outcomes):.1f} s"
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


def _outcomes_json(plan: "ReloadPlan", report: "JobReport") -> dict[str, Any]:
    outcomes: list[BatchOutcome] = report.value
    files = [file for outcome in outcomes for file in outcome.files]
    return {
        "ingestion": plan.ingestion_id,
        "table": plan.table,
        "dry_run": False,
        "run_id": report.run_id,
        "rows": sum(outcome.rows for outcome in outcomes),
        "files": RELOADED.json_list(file for file in files if file.status == "SUCCESS"),
        "left": LEFT.json_list(file for file in files if file.status != "SUCCESS"),
        "batches": BATCHES_OF_RELOAD.json_list(each for each in outcomes if each.batch_id),
    }
