"""What one attempt writes to its branch, and which commits the branch must have then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.iceberg.delete import Rows, Undone, summary_of
from autoloader_dagster.iceberg.history import KIND_PROPERTY
from autoloader_dagster.iceberg.owner import maker_properties
from autoloader_dagster.state.records import Batch


@dataclass(frozen=True, slots=True)
class Expected:
    """What the commits of an attempt must be.

    Attributes:
        marked: Which of them carry the batch's id, oldest first; one entry for each possible
            sequence, because a delete that finds no rows may make no commit.
        removed_rows: Rows that the last one removes; None if nobody knows beforehand.
    """

    marked: tuple[tuple[bool, ...], ...]
    removed_rows: int | None = None


@dataclass(frozen=True, slots=True)
class WritePlan:
    """The changes of one batch to its table, in one attempt.

    Attributes:
        batch_id: The batch.
        deletes: Rows to remove; None for none.
        appends: Files whose rows to add.
        properties: Properties of each snapshot.
        expected: What the branch must show after the write.
        note: Make a snapshot for its properties alone, where nothing is deleted or appended.
    """

    batch_id: BatchId
    deletes: Rows | None
    appends: tuple[Readable, ...]
    properties: Mapping[str, str]
    expected: Expected
    note: bool = False


def plan_load(batch: Batch, deletes: Rows | None, appends: Sequence[Readable]) -> WritePlan:
    """The plan of a load or a reload: delete replaced rows, and append those of the files.

    Args:
        batch: The claimed batch.
        deletes: Rows of other versions of the files; None for none.
        appends: The files that have rows.
    """
    properties = maker_properties(batch.ingestion_id)
    if batch.kind != "load":
        properties[KIND_PROPERTY] = batch.kind
    # The append is the last commit, and it alone carries the batch's id.
    marked: tuple[tuple[bool, ...], ...] = ((), (True,))
    if appends:
        marked = ((True,),) if deletes is None else ((True,), (False, True))
    return WritePlan(batch.batch_id, deletes, tuple(appends), properties, Expected(marked))


def plan_undo(
    batch: Batch, deletes: Rows | None, undone: Sequence[Undone], removed_rows: int
) -> WritePlan:
    """The plan of an undo: delete the rows of loaded files.

    Args:
        batch: The claimed batch.
        deletes: Their rows; None if the table has none of them. Then an empty snapshot tells a
            state that is lost what was undone.
        undone: The files.
        removed_rows: How many rows the table has of them.
    """
    properties = {
        KIND_PROPERTY: "undo",
        **maker_properties(batch.ingestion_id),
        **summary_of(undone),
    }
    expected = Expected(((True,),), removed_rows)
    return WritePlan(batch.batch_id, deletes, (), properties, expected, note=deletes is None)
