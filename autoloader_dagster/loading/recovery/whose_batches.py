"""Tells whose a batch is that the state does not know, in a table that several ingestions share.

Rows carry the batch and the file, and several ingestions may load the same file. The snapshot of a
batch names its ingestion. Snapshots of older versions do not, and some have expired; then a batch
is taken for the ingestion that lists its files, unless another batch has the same files.
"""

from collections.abc import Mapping, Sequence

from autoloader_dagster.batch_ids import NO_BATCH, BatchId
from autoloader_dagster.errors import LoadError
from autoloader_dagster.iceberg.delete import Rows
from autoloader_dagster.iceberg.history import History
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.state.records import FileRow

# Whose each batch in main is; None where its snapshot names nobody.
Owners = Mapping[str, str | None]


def owners_in(history: History) -> Owners:
    """Whose the batches in main are, by their snapshots."""
    return {s.batch_id: s.ingestion_id for s in history.main()[0] if s.batch_id}


def of_others(ingestion: Ingestion, owners: Owners) -> set[str]:
    """The batches in a shared table that another ingestion loaded, which has a spec.

    The batches of one without a spec may be this one's own, under its old name.
    """
    if not ingestion.spec.table.shared:
        return set()
    others = ingestion.loaded.named_ingestions - {ingestion.id}
    return {batch_id for batch_id, owner in owners.items() if owner in others}


def without_rows_of_others(
    ingestion: Ingestion, table: Table, batch_id: BatchId, files: Sequence[FileRow], owners: Owners
) -> list[FileRow]:
    """The files that an unknown batch in a shared table loaded for this ingestion.

    Args:
        ingestion: Which one.
        table: Its table.
        batch_id: The batch.
        files: The versions of this ingestion that the batch has rows of.
        owners: Whose the batches in main are.

    Raises:
        LoadError: Another batch has rows of the same version, and nothing tells whose is whose.
    """
    loaded: dict[BatchId, list[str]] = {}
    for file in files:
        if file.status == "SUCCESS" and file.batch_id not in (None, batch_id):
            loaded.setdefault(file.batch_id or NO_BATCH, []).append(file.file_path)
    held = table.count("main", Rows(loaded)) if loaded else {}
    owner = owners.get(batch_id)
    for other, path in held:
        known = owners.get(other)
        if (owner is None and known != ingestion.id) or (owner == ingestion.id and known is None):
            raise LoadError(
                f"table {table.name} has rows of {path} by the batches {other} and {batch_id}, and "
                f"it is unknown which of them {ingestion.id} loaded: several specs share the "
                "table, the state was lost, and not every snapshot names its ingestion",
                "Restore a backup of the state database. If there is none, delete the rows of one "
                "of both by _batch_id and _source_file; the next runs load what is missing then.",
            )
    if owner == ingestion.id:
        return list(files)
    return [file for file in files if (file.batch_id or NO_BATCH, file.file_path) not in held]
