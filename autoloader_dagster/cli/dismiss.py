"""``dismiss``: skip files for good that failed or were quarantined, after saying which."""

from typing import TYPE_CHECKING, Any

import typer

from autoloader_dagster.cli.amend import FilesArgument, YesOption, confirmed, print_left
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import JsonOption, print_json, progress, say
from autoloader_dagster.cli.project import open_ingestion, open_specs, source_base
from autoloader_dagster.cli.render.shapes import DISMISSED, LEFT
from autoloader_dagster.cli.run import raise_failure
from autoloader_dagster.counts import counted
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.loading.changes.dismiss import DismissOutcome


def dismiss(
    name: Name,
    files: FilesArgument = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Skip files for good that failed or are quarantined; without --yes only say which.

    Their reasons are kept, and the checks do not report them any more. A new version of a file
    loads as usual; 'autoloader retry NAME FILE' loads this one after all.

    Example: autoloader dismiss orders 2026/broken.csv --yes
    """
    settings = load_settings()
    specs = open_specs(settings)
    loaded = spec_named(specs, settings, name)
    base = source_base(loaded)
    config = {"ingestion": loaded.ingestion_id, "files": files or [], "dry_run": False}
    with ending_in_order(), progress() as tell:
        from autoloader_dagster.loading.changes.dismiss import plan_dismiss
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.orchestration.jobs.status import DISMISS_JOB
        from autoloader_dagster.orchestration.runs.run_job import run_job_now

        ingestion = open_ingestion(loaded, specs, settings)
        try:
            plan = plan_dismiss(ingestion, files or ())
        finally:
            ingestion.store.close()
        tell.done()
        if not as_json:
            DISMISSED.print_some(plan.files, base=base)
            print_left(plan.left, base)
        if not plan.files:
            if as_json:
                print_json(_json(loaded.ingestion_id, plan, None))
            else:
                say(f"{loaded.ingestion_id}: no such file failed or is quarantined")
            raise typer.Exit(1)
        if not confirmed(yes, as_json, f"Dismiss {counted(len(plan.files), 'file')}?"):
            if as_json:
                print_json(_json(loaded.ingestion_id, plan, None))
            else:
                say("nothing was changed; --yes does it")
            return
        ensure_dagster_home(settings)
        report = run_job_now(specs, DISMISS_JOB, config, tell)
    raise_failure(report)
    outcome: DismissOutcome = report.value
    if as_json:
        print_json(_json(loaded.ingestion_id, outcome, report.run_id))
    else:
        say(
            f"{loaded.ingestion_id}: {counted(len(outcome.files), 'file is', 'files are')} "
            f"dismissed; run {report.run_id[:8]}"
        )
    if outcome.left:
        raise typer.Exit(1)


def _json(ingestion: str, outcome: "DismissOutcome", run_id: str | None) -> dict[str, Any]:
    return {
        "ingestion": ingestion,
        "dry_run": run_id is None,
        "run_id": run_id,
        "files": DISMISSED.json_list(outcome.files),
        "left": LEFT.json_list(outcome.left),
    }
