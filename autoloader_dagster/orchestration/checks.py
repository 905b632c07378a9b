"""The two checks of an asset, and when a page shows an older answer of them.

Both tell of all that is known of the ingestion, not of one run. Whatever changes files evaluates
them: a run, a job, a tick and the command line.
"""

from collections.abc import Iterator

import dagster as dg

from autoloader_dagster.counts import counted
from autoloader_dagster.loading.ingestion import FileOutcome, Ingestion
from autoloader_dagster.orchestration import metadata as keys
from autoloader_dagster.orchestration.runs.tags import ended_runs
from autoloader_dagster.state.records import DISMISSIBLE, FILE_CHANGED, BadRows, FileRow

FILES_CHECK = "every_file_loaded"
ROWS_CHECK = "no_bad_rows"

# A description names so many files; the metadata has more.
_NAMED = 3


def check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Both checks of an asset."""
    return [
        dg.AssetCheckSpec(
            FILES_CHECK,
            asset=key,
            description="No file of the source failed or is quarantined.",
        ),
        dg.AssetCheckSpec(
            ROWS_CHECK,
            asset=key,
            description="Every value fitted its column; nothing is in _rescued.",
        ),
    ]


def check_results(ingestion: Ingestion) -> Iterator[dg.AssetCheckResult]:
    """Both checks, as a run of the asset yields them."""
    yield _files_result(ingestion)
    yield _rows_result(ingestion)


def check_evaluations(ingestion: Ingestion, key: dg.AssetKey) -> Iterator[dg.AssetCheckEvaluation]:
    """Both checks, as everything else reports them."""
    for result in check_results(ingestion):
        yield _evaluation(result, key)


def outdated_checks(
    instance: dg.DagsterInstance, ingestion: Ingestion, key: dg.AssetKey
) -> Iterator[dg.AssetCheckEvaluation]:
    """The checks whose last answer is not the truth any more, evaluated.

    Not only loads change an answer: the spec may permit more bad rows now, and another Dagster on
    the same state may have undone some. A check that a run is about to evaluate is left to it.
    """
    asked = {name: dg.AssetCheckKey(key, name) for name in (FILES_CHECK, ROWS_CHECK)}
    found = instance.event_log_storage.get_latest_asset_check_execution_by_key(list(asked.values()))
    records = {name: found.get(check) for name, check in asked.items()}
    answers = {
        name: _answered(record.evaluation if record is not None else None)
        for name, record in records.items()
    }
    unanswered = {
        name: record.run_id
        for name, record in records.items()
        if record is not None and answers[name] is None
    }
    ended = ended_runs(instance, set(unanswered.values()))
    for name, result in ((FILES_CHECK, _files_result), (ROWS_CHECK, _rows_result)):
        if name in unanswered and unanswered[name] not in ended:
            continue
        now = _evaluation(result(ingestion), key)
        known = records[name] is not None
        # What was never evaluated and has nothing to report is left to the first run.
        if _answer(now) != _answer(answers[name]) if known else _reports_something(now):
            yield now


def _reports_something(evaluation: dg.AssetCheckEvaluation) -> bool:
    return any(value.value for value in evaluation.metadata.values())


def _answered(evaluation: object) -> dg.AssetCheckEvaluation | None:
    """The evaluation; None of a check that is only planned, for which Dagster gives the plan."""
    return evaluation if isinstance(evaluation, dg.AssetCheckEvaluation) else None


def _answer(evaluation: dg.AssetCheckEvaluation | None) -> tuple[object, ...] | None:
    if evaluation is None:
        return None
    metadata = {name: value.value for name, value in evaluation.metadata.items()}
    return evaluation.passed, evaluation.severity, evaluation.description, metadata


def _evaluation(result: dg.AssetCheckResult, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=result.check_name or "",
        passed=result.passed,
        metadata=result.metadata,
        severity=result.severity,
        description=result.description,
    )


def _files_result(ingestion: Ingestion) -> dg.AssetCheckResult:
    store = ingestion.store
    count = store.totals.number_of_files(ingestion.id, DISMISSIBLE)
    shown = [
        FileOutcome(
            path=row.file_path,
            partition_key=row.partition_key,
            status=row.status,
            bytes=row.file_size_bytes,
            error_type=row.error_type,
            reason=row.reason,
        )
        for row in store.files.find(ingestion.id, DISMISSIBLE, limit=keys.MAX_FILES_SHOWN)
    ]
    # Only 'on_change: fail' sets a changed file aside, and it asks for an error.
    changed = any(file.error_type == FILE_CHANGED for file in shown)
    failing = changed or ingestion.spec.errors.bad_file == "fail"
    return dg.AssetCheckResult(
        check_name=FILES_CHECK,
        passed=count == 0,
        severity=dg.AssetCheckSeverity.ERROR if failing else dg.AssetCheckSeverity.WARN,
        description=f"{counted(count, 'file')} failed or quarantined; 'autoloader retry' loads "
        "them again, 'autoloader dismiss' is for those that are not to be loaded"
        if count
        else "no file failed or is quarantined",
        metadata=keys.bad_files_metadata(shown, count) if count else {},
    )


def _rows_result(ingestion: Ingestion) -> dg.AssetCheckResult:
    bad = ingestion.store.totals.bad_rows(ingestion.id)
    files = (
        ingestion.store.files.with_bad_rows(ingestion.id, keys.MAX_FILES_SHOWN) if bad.files else []
    )
    return dg.AssetCheckResult(
        check_name=ROWS_CHECK,
        passed=bad.worst <= ingestion.spec.errors.max_bad_rows,
        severity=dg.AssetCheckSeverity.WARN,
        description=_bad_rows_in_words(bad, files),
        metadata=keys.bad_rows_metadata(bad.rows, files, ingestion.spec.table.name),
    )


def _bad_rows_in_words(bad: BadRows, files: list[FileRow]) -> str:
    if not files:
        return "no row has anything in _rescued"
    named = ", ".join(
        f"{file.file_path.rpartition('/')[2]} ({file.bad_rows:,} of {file.rows or 0:,})"
        for file in files[:_NAMED]
    )
    more = f" and {bad.files - _NAMED:,} more" if bad.files > _NAMED else ""
    return (
        f"{counted(bad.rows, 'row')} in {counted(bad.files, 'file')} with something in _rescued: "
        f"{named}{more}"
    )
