"""``retry``: requeue files that failed or are quarantined, skipped or undone, and load them."""

from typing import TYPE_CHECKING, Annotated

import typer

from autoloader_dagster.cli.amend import FilesArgument, print_left
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import JsonOption, print_json, progress, say
from autoloader_dagster.cli.project import open_specs, source_base
from autoloader_dagster.cli.render.shapes import LEFT, RETRIED
from autoloader_dagster.cli.run import print_report, raise_failure, report_json
from autoloader_dagster.counts import counted
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.loading.changes.retry import RetryOutcome


def retry(
    name: Name,
    files: FilesArgument = None,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Leave the loading to the next run.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Load files again that failed, are quarantined, skipped or undone; default all bad ones.

    Example: autoloader retry orders '2026-01-*.csv'
    """
    settings = load_settings()
    specs = open_specs(settings)
    loaded = spec_named(specs, settings, name)
    base = source_base(loaded)
    with ending_in_order(), progress() as tell:
        tell("start")
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.orchestration.jobs.status import RETRY_JOB
        from autoloader_dagster.orchestration.runs.run_asset import run_now
        from autoloader_dagster.orchestration.runs.run_job import run_job_now

        ensure_dagster_home(settings)
        config = {"ingestion": loaded.ingestion_id, "files": files or []}
        report = run_job_now(specs, RETRY_JOB, config, tell)
        raise_failure(report)
        outcome: RetryOutcome = report.value
        run = None
        if outcome.files and not no_run:
            run = run_now(loaded, specs.connections, None, tell)
    if as_json:
        print_json(
            {
                "ingestion": loaded.ingestion_id,
                "run_id": report.run_id,
                "files": RETRIED.json_list(outcome.files),
                "left": LEFT.json_list(outcome.left),
                "run": report_json(run) if run else None,
            }
        )
    else:
        _print(loaded.ingestion_id, outcome, report.run_id, base)
        if run:
            print_report(run, base)
    if run:
        raise_failure(run)
    if outcome.left or (run and run.bad_files):
        raise typer.Exit(1)


def _print(ingestion: str, outcome: "RetryOutcome", run_id: str, base: str) -> None:
    RETRIED.print_some(outcome.files, base=base)
    print_left(outcome.left, base)
    if outcome.files:
        say(
            f"{ingestion}: {counted(len(outcome.files), 'file waits', 'files wait')} again; run "
            f"{run_id[:8]}"
        )
    elif not outcome.left:
        say(f"{ingestion}: no file failed or is quarantined")
