"""What a load would bring: the columns and some rows of a few files.

The files are looked at and read exactly as a load does it; nothing is committed or recorded.
"""

import heapq
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import AutoloaderError, LoadError
from autoloader_dagster.formats.base import Readable
from autoloader_dagster.formats.found_columns import found_columns
from autoloader_dagster.formats.look import look_at
from autoloader_dagster.formats.outcome import Bad, Look
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.lineage import LINEAGE_COLUMNS, RESCUED, SOURCE_FILE
from autoloader_dagster.loading.batch.bad_rows import bad_row, too_few_values
from autoloader_dagster.loading.batch.find_bad_files import find_unreadable
from autoloader_dagster.loading.batch.stage import (
    PREVIEW,
    copies_address,
    naming_unseen_copies,
    stage,
    unstage,
)
from autoloader_dagster.loading.ingestion import FileOutcome, Ingestion
from autoloader_dagster.loading.notes import notes_on
from autoloader_dagster.loading.placement import placer
from autoloader_dagster.loading.recovery.moved_table import moved_in_state
from autoloader_dagster.loading.schema_policy import check_decision, columns_to_add, decide
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.spark.errors import advice, short
from autoloader_dagster.spark.session import translate
from autoloader_dagster.spark.values import showable
from autoloader_dagster.state.records import Placement

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Lineage that every row of a preview would repeat.
_HIDDEN = tuple(name for name in LINEAGE_COLUMNS if name not in (RESCUED, SOURCE_FILE))
_PENDING = ("DISCOVERED", "FAILED")


@dataclass(frozen=True, slots=True)
class PreviewColumn:
    """A column of the table as it would be after the load.

    Attributes:
        name: Its name in the table.
        sql_type: Spark SQL type.
        original: Its name in the files; empty if unknown.
        new: Whether the table does not have it yet.
    """

    name: str
    sql_type: str
    original: str
    new: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What a load would bring.

    Attributes:
        table: The table's name.
        table_exists: Whether it is there already.
        pending: Whether the files wait to be loaded; else nothing waits, and they are the newest.
        files: The files whose rows are shown.
        columns: The table's columns without the lineage columns.
        rows: Some rows; with ``_source_file``, and ``_rescued`` where something did not fit.
        bad_files: Files that would be quarantined or held, with the reason.
        unmatched_hints: The spec's hints that match no column yet.
        notes: What looks like a mistake in the spec, and how to correct it.
    """

    table: str
    table_exists: bool
    pending: bool
    files: tuple[str, ...]
    columns: tuple[PreviewColumn, ...]
    rows: tuple[dict[str, Any], ...]
    bad_files: tuple[FileOutcome, ...]
    unmatched_hints: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def preview(ingestion: Ingestion, rows: int = 10, files: int = 3) -> Preview:
    """Read the first pending files, or the newest ones if nothing is pending.

    Args:
        ingestion: What to look at.
        rows: At most so many rows.
        files: At most so many files.

    Raises:
        SourceError: The source cannot be listed or read.
        SparkError: There is no Spark server.
        TableError: The table is there with another layout.
        TableMoved: The loaded files are in another table, which the spec named before.
        SpecError: A hint does not fit the files or the table.
    """
    moved = moved_in_state(ingestion)
    if moved is not None:
        raise moved
    refs, pending, waiting = _choose(ingestion, files)
    looks = list(look_at(ingestion.source, [ref for ref, _ in refs], ingestion.spec.format))
    bad = [
        _bad(look.ref, look.bad.error_type, look.bad.message, "QUARANTINED")
        for look in looks
        if look.bad is not None
    ]
    keys = {ref.path: placement.partition_key for ref, placement in refs}
    good = [look for look in looks if look.bad is None and not look.empty]
    with ingestion.connect() as spark:
        table = ingestion.table(spark)
        known = table.columns_if_exists()
        read = _read(ingestion, spark, good, keys, known, rows)
    bad += [
        _bad(
            look.ref,
            read.bad[look.ref.path].error_type,
            read.bad[look.ref.path].message,
            "QUARANTINED",
        )
        for look in good
        if look.ref.path in read.bad
    ]
    new = {column.name for column in columns_to_add(known or (), read.columns)}
    return Preview(
        table=ingestion.spec.table.name,
        table_exists=known is not None,
        pending=pending,
        files=tuple(look.ref.path for look in good if look.ref.path not in read.bad),
        columns=tuple(
            PreviewColumn(c.name, c.sql_type, c.original, c.name in new) for c in read.columns
        ),
        rows=read.rows,
        bad_files=tuple(waiting + bad),
        unmatched_hints=read.unmatched_hints,
        notes=(*notes_on(ingestion.spec, good), *_bad_row_note(ingestion, good, read.rows)),
    )


def _bad_row_note(
    ingestion: Ingestion, looks: Sequence[Look], rows: Sequence[Mapping[str, Any]]
) -> Iterator[str]:
    """Names the first shown row that has a value that fits no column."""
    bad = [row for row in rows if row.get(RESCUED) is not None]
    for look in looks:
        rescued = [row[RESCUED] for row in bad if row[SOURCE_FILE] == look.ref.path]
        found = bad_row(ingestion.spec, look, rescued, ingestion.source)
        if found is not None:
            yield (
                f"{look.ref.relative_path} has rows with values that do not fit their columns and "
                f"go to _rescued; {found}"
            )
            return


def _choose(
    ingestion: Ingestion, count: int
) -> tuple[list[tuple[FileRef, Placement]], bool, list[FileOutcome]]:
    """The first pending files, else the newest; whether they are pending; and those that wait."""
    place = placer(ingestion.spec)
    pending: list[tuple[FileRef, Placement]] = []
    waiting: list[FileOutcome] = []
    newest: list[tuple[Any, str, FileRef]] = []
    for page in ingestion.source.list_pages():
        status = {
            (row.file_path, row.file_version): row.status
            for row in ingestion.store.files.find(ingestion.id, paths=[ref.path for ref in page])
        }
        for ref in page:
            known = status.get((ref.path, ref.version))
            if known is not None and known not in _PENDING:
                heapq.heappush(newest, (ref.modified_at, ref.path, ref))
                if len(newest) > count:
                    heapq.heappop(newest)
                continue
            placement = place(ref)
            if placement.status == "DISCOVERED":
                pending.append((ref, placement))
            elif len(waiting) < count:
                why = placement.reason or ""
                waiting.append(_bad(ref, placement.error_type, why, placement.status))
            if len(pending) == count:
                return pending, True, waiting
    if pending:
        return pending, True, waiting
    return [(ref, place(ref)) for _, _, ref in sorted(newest, reverse=True)], False, waiting


# Previewed rows are of no batch.
_PREVIEWED = BatchId("preview")


@dataclass(frozen=True, slots=True)
class _Read:
    columns: tuple[Column, ...]
    rows: tuple[dict[str, Any], ...] = ()
    bad: Mapping[str, Bad] = field(default_factory=dict)
    unmatched_hints: tuple[str, ...] = ()


def _read(
    ingestion: Ingestion,
    spark: "SparkSession",
    looks: Sequence[Look],
    partition_keys: dict[str, str | None],
    known: Sequence[Column] | None,
    limit: int,
) -> _Read:
    if not looks:
        return _Read(tuple(known or ()))
    folder = ingestion.staging_dir / f"{PREVIEW}{uuid.uuid4().hex[:12]}"
    copies = copies_address(folder, ingestion.copy_store)
    spec, bad = ingestion.spec, dict[str, Bad]()
    try:
        staged = stage(ingestion.source, looks, folder, spec.format, ingestion.copy_store)
        bad |= staged.bad
        readable = [
            staged.readable(ingestion.source, look, partition_keys[look.ref.path])
            for look in looks
            if look.ref.path not in staged.bad
        ]
        frames = ingestion.lakehouse.frames(spark, spec, ingestion.spark_options())
        with naming_unseen_copies(copies):
            found = found_columns(frames.columns(readable, known or ()))
        if found.bad:
            bad |= found.bad
            readable = [item for item in readable if item.file.path not in bad]
            if not readable:
                return _Read(tuple(known or ()), bad=bad)
            found = found_columns(frames.columns(readable, known or ()))
        decision = decide(spec, known, found)
        check_decision(spec, decision)
        columns = decision.columns

        def take(some: Sequence[Readable]) -> list[dict[str, Any]]:
            with naming_unseen_copies(copies):
                shown = showable(
                    frames.frame(some, columns, _PREVIEWED).drop(*_HIDDEN).limit(limit)
                )
                rows = shown.frame.collect()
            return [dict(zip(shown.names, shown.decode(row), strict=True)) for row in rows]

        taken, unreadable = _readable_rows(readable, take)
        bad |= unreadable
        kept = [item for item in readable if item.file.path not in bad]
        if kept and any(column.refused_where for column in columns):
            # Of the shown rows only, because a preview reads no file to its end.
            some = frames.frame(kept, columns, _PREVIEWED).limit(limit)
            bad |= too_few_values(spec, frames.refused_rows(some, columns))
        rows = tuple(_shown(row) for row in taken if row[SOURCE_FILE] not in bad)
        return _Read(columns, rows, bad, decision.unmatched_hints)
    finally:
        unstage(folder, ingestion.copy_store)


def _readable_rows(
    readable: Sequence[Readable], take: Callable[[Sequence[Readable]], list[dict[str, Any]]]
) -> tuple[list[dict[str, Any]], dict[str, Bad]]:
    """The rows of those files that can be read, and what is wrong with the others.

    Raises:
        LoadError: No file is the cause of the error.
    """
    bad: dict[str, Bad] = {}
    while readable:
        try:
            return take(readable), bad
        except AutoloaderError:
            raise
        except Exception as error:  # Spark's; some of the files may be the cause
            gone = translate(error, "the Spark server")
            if gone is not None:
                raise gone from error
            found = find_unreadable(error, readable, take, len(bad))
            if not found:
                raise LoadError(
                    f"the files cannot be read: {short(error)}",
                    advice(error),
                ) from error
            bad |= {path: Bad("Unreadable", why) for path, why in found.items()}
            readable = [item for item in readable if item.file.path not in found]
    return [], bad


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != RESCUED or value is not None}


def _bad(ref: FileRef, error_type: str | None, message: str, status: str) -> FileOutcome:
    return FileOutcome(ref.path, None, status, ref.size, error_type=error_type, reason=message)
