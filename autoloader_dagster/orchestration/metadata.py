"""Names and values of the metadata that materializations carry."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import dagster as dg

from autoloader_dagster.loading.ingestion import BatchOutcome, FileOutcome
from autoloader_dagster.state.records import FileRow

# Dagster's own: the overview of an asset shows the first.
TABLE_ROWS = "dagster/row_count"
PARTITION_ROWS = "dagster/partition_row_count"
# Of one batch, or of what is otherwise told of.
ROWS = "autoloader/rows"
FILES = "autoloader/files"
BAD_ROWS = "autoloader/bad_rows"
BAD_FILES = "autoloader/bad_files"
QUERY = "autoloader/query"
BYTES = "autoloader/bytes"
SECONDS = "autoloader/seconds"
ROWS_PER_SECOND = "autoloader/rows_per_second"
SNAPSHOT_ID = "autoloader/snapshot_id"
BATCH_ID = "autoloader/batch_id"
LOADED_BY_RUN = "autoloader/loaded_by_run"
SAME_CONTENT = "autoloader/same_content"
UNMATCHED_HINTS = "autoloader/unmatched_hints"
NOTES = "autoloader/notes"
FILE_TABLE = "autoloader/file_table"
FILES_IN_PARTITION = "autoloader/files_in_partition"
SPEC = "autoloader/spec"
FILES_WAITING = "autoloader/files_waiting"
BYTES_WAITING = "autoloader/bytes_waiting"

# A materialization with more files than this shows the first ones and says how many there are.
MAX_FILES_SHOWN = 50


def by_partition(outcome: BatchOutcome) -> dict[str | None, list[FileOutcome]]:
    """The loaded files of a batch by partition."""
    groups: dict[str | None, list[FileOutcome]] = defaultdict(list)
    for file in outcome.loaded:
        groups[file.partition_key].append(file)
    return dict(groups)


def partition_metadata(
    outcome: BatchOutcome, files: Sequence[FileOutcome], table: str
) -> dict[str, dg.MetadataValue]:
    """Metadata of what one batch brought to one partition."""
    rows = sum(file.rows for file in files)
    share = len(files) / max(1, len(outcome.loaded))
    shown = files[:MAX_FILES_SHOWN]
    metadata: dict[str, dg.MetadataValue] = {
        ROWS: dg.MetadataValue.int(rows),
        "dagster/table_name": dg.MetadataValue.text(table),
        FILES: dg.MetadataValue.int(len(files)),
        BAD_ROWS: dg.MetadataValue.int(sum(file.bad_rows for file in files)),
        BYTES: dg.MetadataValue.int(sum(file.bytes for file in files)),
        SECONDS: dg.MetadataValue.float(round(outcome.seconds * share, 3)),
        ROWS_PER_SECOND: dg.MetadataValue.int(
            int(outcome.rows / outcome.seconds) if outcome.seconds else 0
        ),
        BATCH_ID: dg.MetadataValue.text(outcome.batch_id),
        FILE_TABLE: dg.MetadataValue.table(
            records=[
                dg.TableRecord(
                    {
                        "file": file.path,
                        "rows": file.rows,
                        "bad_rows": file.bad_rows,
                        "bytes": file.bytes,
                    }
                )
                for file in shown
            ]
        ),
    }
    if outcome.unmatched_hints:
        metadata[UNMATCHED_HINTS] = dg.MetadataValue.text(", ".join(outcome.unmatched_hints))
    if outcome.notes:
        metadata[NOTES] = dg.MetadataValue.text("\n".join(outcome.notes))
    same = [file for file in files if file.same_as]
    if same:
        metadata[SAME_CONTENT] = dg.MetadataValue.table(
            records=[
                dg.TableRecord({"file": file.path, "same_as": file.same_as or ""})
                for file in same[:MAX_FILES_SHOWN]
            ]
        )
    if outcome.columns:
        metadata["dagster/column_schema"] = dg.MetadataValue.table_schema(
            dg.TableSchema(
                [
                    dg.TableColumn(
                        column.name,
                        column.sql_type,
                        description=f"'{column.original}' in the files"
                        if column.original not in ("", column.name)
                        else None,
                    )
                    for column in outcome.columns
                ]
            )
        )
    if outcome.snapshot_id is not None:
        # As text: the UI's numbers lose digits of a 64-bit id.
        metadata[SNAPSHOT_ID] = dg.MetadataValue.text(str(outcome.snapshot_id))
    return metadata


def notes_of(materializations: Iterable[dg.AssetMaterialization]) -> tuple[str, ...]:
    """The notes of all batches of a run, each once."""
    texts = [each.metadata[NOTES].value for each in materializations if NOTES in each.metadata]
    return tuple(dict.fromkeys(line for text in texts for line in str(text).splitlines()))


def bad_files_metadata(files: Sequence[FileOutcome], count: int) -> Mapping[str, dg.MetadataValue]:
    """Metadata of a check that found files that failed or are quarantined.

    Args:
        files: The first of them.
        count: How many there are.
    """
    return {
        FILES: dg.MetadataValue.int(count),
        "autoloader/reasons": dg.MetadataValue.table(
            records=[
                dg.TableRecord(
                    {
                        "file": file.path,
                        "status": file.status,
                        "error": file.error_type or "",
                        "reason": file.reason or "",
                    }
                )
                for file in files[:MAX_FILES_SHOWN]
            ]
        ),
    }


def bad_rows_metadata(
    count: int, files: Sequence[FileRow], table: str
) -> Mapping[str, dg.MetadataValue]:
    """Metadata of the check on bad rows: the files that have any, and the query for the rows."""
    found: dict[str, dg.MetadataValue] = {BAD_ROWS: dg.MetadataValue.int(count)}
    if files:
        found[BAD_FILES] = dg.MetadataValue.table(
            records=[
                dg.TableRecord(
                    {
                        "file": file.file_path,
                        "partition": file.partition_key or "",
                        "batch": file.batch_id or "",
                        "rows": file.rows or 0,
                        "bad_rows": file.bad_rows or 0,
                    }
                )
                for file in files
            ]
        )
        found[QUERY] = dg.MetadataValue.text(
            f'autoloader query "select _source_file, _rescued from {table} '
            'where _rescued is not null limit 100"'
        )
    return found
