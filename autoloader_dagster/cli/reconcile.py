"""``reconcile``: compare source, state and table, and update the state by the table."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster import errors
from autoloader_dagster.cli.amend import YesOption
from autoloader_dagster.cli.interrupts import ending_in_order
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import (
    JsonOption,
    print_error,
    print_json,
    progress,
    say,
)
from autoloader_dagster.cli.project import left_out, open_specs, source_base
from autoloader_dagster.cli.render.shapes import FINDINGS
from autoloader_dagster.cli.run import raise_failure
from autoloader_dagster.counts import counted, shown_counts
from autoloader_dagster.settings import load_settings
from autoloader_dagster.specs.spec_set import LoadedSpec

if TYPE_CHECKING:
    from autoloader_dagster.loading.recovery.reconcile import Reconciliation


def reconcile(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these specs; default all.", metavar="NAME…")
    ] = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Compare source, state and table; with --yes the state is updated by the table.

    Example: autoloader reconcile orders --yes
    """
    settings = load_settings()
    specs = open_specs(settings)
    chosen = [spec_named(specs, settings, name) for name in names] if names else list(specs.specs)
    documents: list[dict[str, Any]] = []
    worst = 0
    with ending_in_order(), progress() as tell:
        tell("start")
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.orchestration.jobs.reconcile import RECONCILE_JOB
        from autoloader_dagster.orchestration.runs.run_job import run_job_now

        ensure_dagster_home(settings)
        for loaded in chosen:
            config = {"ingestion": loaded.ingestion_id, "dry_run": not yes}
            try:
                report = run_job_now(specs, RECONCILE_JOB, config, tell)
                raise_failure(report)
            except errors.AutoloaderError as error:
                tell.done()
                code = errors.exit_code(error)
                of = f"{loaded.ingestion_id}: " if len(chosen) > 1 else ""
                print_error(errors.RunFailed(f"{of}{error.what}", error.hint, code))
                documents.append({"ingestion": loaded.ingestion_id, "error": error.what})
                worst = max(worst, code)
                continue
            documents.append(_json(loaded, report.run_id, report.value))
            worst = max(worst, 0 if report.value.agrees else 1)
            if not as_json:
                tell.done()
                _print(loaded, report.value)
    if as_json:
        print_json({"ingestions": documents})
    if not names:
        worst = max(worst, left_out(specs, chosen, "there is no spec", "not compared"))
    if worst:
        raise typer.Exit(worst)


def _print(loaded: LoadedSpec, found: "Reconciliation") -> None:
    FINDINGS.print_some(
        _findings(loaded, found),
        columns=("file", "difference", "meaning"),
        base=source_base(loaded),
    )
    words = shown_counts(
        {
            **found.found,
            "batches without a worker": len(found.stale_batches),
            "leftover branches": len(found.leftover_branches),
        }
    )
    what = ", ".join(words) if words else "nothing differs"
    left = sum(found.left.values())
    after = "; the state was updated" if found.applied and words else ""
    after += f", {left:,} differ still" if after and left else ""
    say(
        f"{found.ingestion_id}: {counted(found.listed, 'file')} listed ({found.new:,} new), "
        f"{counted(found.files_in_table, 'file')} and {counted(found.rows_in_table, 'row')} in "
        f"{found.table}; {what}{after}; {found.seconds:.1f} s"
    )


def _findings(loaded: LoadedSpec, found: "Reconciliation") -> list[dict[str, Any]]:
    from autoloader_dagster.loading.recovery.advice import advice

    return [each._asdict() | {"meaning": advice(each, loaded.spec.name)} for each in found.findings]


def _json(loaded: LoadedSpec, run_id: str, found: "Reconciliation") -> dict[str, Any]:
    return {
        "ingestion": found.ingestion_id,
        "table": found.table,
        "table_exists": found.table_exists,
        "run_id": run_id,
        "agrees": found.agrees,
        "applied": found.applied,
        "listed": found.listed,
        "new": found.new,
        "files_in_table": found.files_in_table,
        "rows_in_table": found.rows_in_table,
        "found": dict(found.found),
        "left": dict(found.left),
        "stale_batches": list(found.stale_batches),
        "leftover_branches": list(found.leftover_branches),
        "findings": FINDINGS.json_list(_findings(loaded, found)),
        "seconds": found.seconds,
        "error": None,
    }
