"""Refuses a spec whose table.name was changed while its loaded files are in the old table.

The state knows a loaded file by its ingestion, so nothing would load it into the new table.
"""

from collections import Counter
from collections.abc import Callable, Sequence

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import TableMoved
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.catch_up import catch_up
from autoloader_dagster.loading.recovery.main_read import MainRead
from autoloader_dagster.sources.base import source_kind
from autoloader_dagster.state.records import LoadedElsewhere


def moved_in_state(ingestion: Ingestion) -> TableMoved | None:
    """Return the refusal, as far as the state knows; None if every loaded file is in the table."""
    found = ingestion.store.tables.loaded_elsewhere(ingestion.id, ingestion.spec.table.name)
    return _refusal(ingestion, found) if found else None


def refuse_moved_table(ingestion: Ingestion, open_table: Callable[[], Table]) -> None:
    """Refuse a spec that names another table than the one that has its loaded files.

    A table that was renamed in the catalog is the same table, and is followed under its new name. A
    copy that has all of their rows is followed as well.

    Args:
        ingestion: Which one.
        open_table: Opens the table of the spec; called only if the state does not know it.

    Raises:
        TableMoved: Loaded files are in another table.
    """
    moved = moved_in_state(ingestion)
    if moved is None:
        return
    table = open_table()
    if not table.exists():
        raise moved
    found = ingestion.store.tables.loaded_elsewhere(ingestion.id, table.name, table.table_id())
    if found and not _follow_copy(ingestion, table, found):
        raise _refusal(ingestion, found)
    # The state knows its id from now on, so sensors and schedules go on.
    catch_up(ingestion, table)


def _follow_copy(ingestion: Ingestion, table: Table, elsewhere: Sequence[LoadedElsewhere]) -> bool:
    """Take what was loaded elsewhere as loaded into this table, if it has all of those rows."""
    store = ingestion.store
    loaded = {
        batch_id: rows
        for old in elsewhere
        for batch_id, rows in store.rollbacks.loaded_batches(old.table, ingestion.id).items()
        if rows
    }
    read = MainRead(table, table.head())
    there: Counter[BatchId] = Counter()
    for each in table.rows_of_files(read.head):
        there[each.batch_id] += each.rows
    if any(there[batch_id] != rows for batch_id, rows in loaded.items()):
        return False
    store.tables.move_batches(
        ingestion.id, loaded, table.name, table.table_id(), read.head, read.unchanged
    )
    return True


def refuse_files_of_other_sources(ingestion: Ingestion) -> None:
    """Refuse to change the state of files in another table that came from another source.

    They may be those of another deployment, which would then load them again.

    Raises:
        TableMoved: There are such files.
    """
    found = ingestion.store.tables.loaded_elsewhere(ingestion.id, ingestion.spec.table.name)
    if _outside(ingestion, found) is not None:
        raise _refusal(ingestion, found)


def _outside(ingestion: Ingestion, found: Sequence[LoadedElsewhere]) -> str | None:
    """Return one of the files that is not below the url of the source; None if all are."""
    section = ingestion.spec.source
    below = source_kind(section).relative_path
    return next((each.path for each in found if below(section, each.path) is None), None)


def _refusal(ingestion: Ingestion, found: Sequence[LoadedElsewhere]) -> TableMoved:
    name, section, table = ingestion.spec.name, ingestion.spec.source, ingestion.spec.table.name
    there = " and ".join(
        f"{each.table} has {counted(each.rows, 'row')} of {counted(each.files, 'loaded file')}"
        for each in found
    )
    what = (
        f"table.name of {ingestion.id} is {table}, but {there} of {ingestion.id}; {table} has not "
        "all of them"
    )
    outside = _outside(ingestion, found)
    if outside is not None:
        # Nobody can tell by the state alone, and what helps one of the two harms the other.
        return TableMoved(
            f"{what}. They are not below source.url, {section.url}: one is {outside}",
            "Either another deployment with a spec of this name uses the same state database: give "
            "each a database of its own (AUTOLOADER_DATABASE_URL), or put one's specs into a "
            "tenant's folder. Or source.url and table.name of this spec were changed: give the "
            "spec a new name too, and it loads all files of its source.",
        )
    return TableMoved(
        what,
        f"If table.name was changed, set it to {found[0].table} again. Or load all files into "
        f"{table}: run 'autoloader reconcile {name} --yes', then 'autoloader run {name}'; the "
        "old table keeps its rows. If the table was renamed in the catalog or copied as it was, "
        f"'autoloader run {name}' finds that out.",
    )
