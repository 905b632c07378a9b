"""``run --reload``: load partitions again that are loaded, after saying which."""

from typing import TYPE_CHECKING, Any

from autoloader_dagster.cli.amend import confirmed, left_json, print_left
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.output import print_json, print_some, progress, say, snapshot
from autoloader_dagster.cli.project import open_ingestion, source_base
from autoloader_dagster.settings import Settings
from autoloader_dagster.specs.loader import LoadedSpec, SpecSet
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
    if plan.files:
        print_some(
            ("file", "partition", "batch", ">rows loaded", ">size", "changed since"),
            [
                (
                    file.path.removeprefix(base),
                    file.partition_key,
                    file.batch_id,
                    file.rows,
                    shown_size(file.bytes),
                    file.changed,
                )
                for file in plan.files
            ],
            "",
            "--json",
        )
    print_left(plan.left, base)
    say(
        f"{plan.ingestion_id}: {len(plan.files):,} files, {shown_size(plan.bytes)}, would be "
        f"loaded again, and take the place of {plan.rows:,} rows of {plan.table}"
    )


def _print_outcomes(plan: "ReloadPlan", report: "JobReport", base: str) -> None:
    outcomes: list[BatchOutcome] = report.value
    kept = [file for each in outcomes for file in each.files if file.status != "SUCCESS"]
    if kept:
        print_some(
            ("file", "status", "why"),
            [(f.path.removeprefix(base), f.status, f.reason) for f in kept],
            f"{len(kept):,} files were not loaded again",
            "--json",
        )
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
        "files": [
            {
                "path": file.path,
                "partition": file.partition_key,
                "batch_id": file.batch_id,
                "rows": file.rows,
                "bytes": file.bytes,
                "changed": file.changed,
            }
            for file in plan.files
        ],
        "left": left_json(plan.left),
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
        "files": [
            {"path": file.path, "partition": file.partition_key, "rows": file.rows}
            for file in files
            if file.status == "SUCCESS"
        ],
        "left": [
            {"path": file.path, "status": file.status, "reason": file.reason}
            for file in files
            if file.status != "SUCCESS"
        ],
        "batches": [
            {
                "batch_id": outcome.batch_id,
                "snapshot_id": snapshot(outcome.snapshot_id),
                "files": len(outcome.loaded),
                "rows": outcome.rows,
            }
            for outcome in outcomes
            if outcome.batch_id
        ],
    }
