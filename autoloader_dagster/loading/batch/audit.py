"""Step ten: prove that a branch holds exactly what this attempt was to write."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import LoadError, PublishConflict
from autoloader_dagster.formats.base import FileFormat, Readable, file_format
from autoloader_dagster.formats.outcome import Bad
from autoloader_dagster.iceberg.append import Written
from autoloader_dagster.iceberg.history import Snapshot
from autoloader_dagster.loading.batch.attempts import Attempt
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.write_plan import WritePlan
from autoloader_dagster.specs.model import IngestionSpec

# The error type of a file with more bad rows than the spec allows.
BAD_ROWS = "BadRows"


class UnknownAddress(LoadError):
    """Spark names the files of some rows otherwise than was expected.

    Attributes:
        unaccounted: The files that no row was counted for.
    """

    def __init__(self, what: str, unaccounted: tuple[Readable, ...]) -> None:
        super().__init__(
            what, "Nothing was published. Rename the files whose names are unusual, and report it."
        )
        self.unaccounted = unaccounted


@dataclass(frozen=True, slots=True)
class Audited:
    """What the audit found.

    Attributes:
        snapshot_id: The branch's head; None if nothing had to be changed.
        rows: Rows of each file.
        bad_rows: Rows with something in ``_rescued``, for files that have any.
        bad_files: Files that must not be published, with the reason.
        table_rows: Rows that the table has with that snapshot; None if its summary does not tell.
    """

    snapshot_id: int | None
    rows: dict[str, int]
    bad_rows: dict[str, int]
    bad_files: dict[str, Bad] = field(default_factory=dict)
    table_rows: int | None = None


def own_chain(table: Table, attempt: Attempt, plan: WritePlan) -> list[Snapshot]:
    """The commits of an attempt on its branch, oldest first.

    Raises:
        PublishConflict: There is another commit among them, one too many or one too few: the
            branch came back from the dead, or the client repeated a write.
        LoadError: A delete has not removed the rows that were counted beforehand.
    """
    chain = table.chain(attempt.branch, attempt.base)
    own = all(snapshot.attempt == attempt.tag for snapshot in chain)
    marked = tuple(snapshot.batch_id == plan.batch_id for snapshot in chain)
    if not own or marked not in plan.expected.marked:
        raise PublishConflict(
            f"branch {attempt.branch} of {table.name} does not hold exactly the commits of this "
            "attempt"
        )
    removed = plan.expected.removed_rows
    if removed is not None and chain[-1].removed_records != removed:
        raise LoadError(
            f"batch {plan.batch_id} was to remove {counted(removed, 'row')} of {table.name}, and "
            f"its snapshot removed {chain[-1].removed_records}",
            "Nothing was published.",
        )
    return chain


def audit_attempt(
    table: Table, attempt: Attempt, plan: WritePlan, written: Written, spec: IngestionSpec
) -> Audited:
    """Check the commits, counts and files of a written branch.

    Args:
        table: The table.
        attempt: The attempt whose branch was written.
        plan: What was to be written.
        written: What the write counted.
        spec: Its format, and what it says of bad rows.

    Raises:
        PublishConflict: The branch does not hold exactly the commits of this attempt.
        UnknownAddress: Rows came under an address of no file of the batch.
        LoadError: The counts do not add up in a way that is no single file's fault.
    """
    chain = own_chain(table, attempt, plan)
    batch_id, readable = plan.batch_id, plan.appends
    if not readable:
        # A delete that finds no rows leaves no commit.
        head = chain[-1] if chain else None
        rows_now = head.table_rows if head else None
        return Audited(head.snapshot_id if head else None, {}, {}, table_rows=rows_now)
    branch, appended = attempt.branch, chain[-1]
    rows, bad_rows = _counts(table, branch, batch_id, appended, written, readable)
    ours = {item.file.path for item in readable}
    unknown = written.unknown_rows + sum(n for path, n in rows.items() if path not in ours)
    if unknown:
        raise UnknownAddress(
            f"{counted(unknown, 'row')} of batch {batch_id} came from a file that the batch does "
            "not have",
            tuple(item for item in readable if not rows.get(item.file.path)),
        )
    if sum(rows.values()) != appended.added_records:
        raise LoadError(
            f"the rows of batch {batch_id} do not add up: {sum(rows.values())} counted by file, "
            f"{appended.added_records} written",
            "Nothing was published; its files wait for the next run.",
        )
    bad_files: dict[str, Bad] = {}
    reader = file_format(spec.format)
    for item in readable:
        problem = _problem(reader, item, rows.get(item.file.path, 0))
        if problem:
            bad_files[item.file.path] = problem
    if bad_rows:
        for rescued, reason in reader.broken_rows.items():
            bad_files |= dict.fromkeys(table.rows_like(branch, batch_id, rescued), reason)
    bad_files = too_many_bad_rows(spec, bad_rows) | bad_files
    return Audited(appended.snapshot_id, rows, bad_rows, bad_files, appended.table_rows)


def too_many_bad_rows(spec: IngestionSpec, bad_rows: Mapping[str, int]) -> dict[str, Bad]:
    """The files that the spec quarantines for their bad rows.

    Args:
        spec: What it says of bad rows.
        bad_rows: The bad rows of each file.
    """
    if spec.errors.bad_rows != "quarantine":
        return {}
    limit = spec.errors.max_bad_rows
    return {
        path: Bad(BAD_ROWS, f"has {counted(count, 'bad row')}, and errors.max_bad_rows is {limit}")
        for path, count in bad_rows.items()
        if count > limit
    }


def _counts(
    table: Table,
    branch: str,
    batch_id: BatchId,
    appended: Snapshot,
    written: Written,
    readable: Sequence[Readable],
) -> tuple[dict[str, int], dict[str, int]]:
    if written.rows is None:
        rows = {readable[0].file.path: appended.added_records}
        return rows, table.bad_rows_by_file(branch, batch_id)
    if sum(written.rows.values()) == appended.added_records and written.bad_rows is not None:
        return written.rows, written.bad_rows
    # A task that Spark ran twice was counted twice; the rows themselves tell.
    return table.rows_by_file(branch, batch_id), table.bad_rows_by_file(branch, batch_id)


def _problem(reader: FileFormat, item: Readable, rows: int) -> Bad | None:
    missing = reader.rows_missing(item.look, rows)
    if missing is not None:
        return missing
    if rows == 0:
        return Bad(
            "NoRows",
            "is not empty, but Spark read no row from it; if keys of other objects go on below "
            "its own, as 'a' and 'a/b.csv', rename it",
        )
    return None
