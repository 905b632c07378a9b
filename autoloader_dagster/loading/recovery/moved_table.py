"""Refuses a spec whose table.name was changed while its loaded files are in the old table.

The state knows a loaded file by its ingestion, so nothing would load it into the new table.
"""

from collections.abc import Callable, Sequence

from autoloader_dagster.errors import TableMoved
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.loading.recovery.catch_up import catch_up
from autoloader_dagster.state.records import LoadedElsewhere


def moved_in_state(ingestion: Ingestion) -> TableMoved | None:
    """Return the refusal, as far as the state knows; None if every loaded file is in the table."""
    found = ingestion.store.tables.loaded_elsewhere(ingestion.id, ingestion.spec.table.name)
    return _refusal(ingestion, found) if found else None


def refuse_moved_table(ingestion: Ingestion, open_table: Callable[[], Table]) -> None:
    """Refuse a spec that names another table than the one that has its loaded files.

    A table that was renamed in the catalog is the same table, and is followed under its new name.

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
    if found:
        raise _refusal(ingestion, found)
    # The state knows its id from now on, so sensors and schedules go on.
    catch_up(ingestion, table)


def _refusal(ingestion: Ingestion, found: Sequence[LoadedElsewhere]) -> TableMoved:
    name, table = ingestion.spec.name, ingestion.spec.table.name
    there = " and ".join(
        f"{each.table} has {each.rows:,} rows of {each.files:,} loaded files" for each in found
    )
    return TableMoved(
        f"table.name of {ingestion.id} was changed to {table}, but {there}; they would be missing "
        f"from {table}",
        f"Set table.name to {found[0].table} again. Or load all files into {table}: run "
        f"'autoloader reconcile {name} --yes', then 'autoloader run {name}'; the old table keeps "
        f"its rows. If the table was renamed in the catalog, 'autoloader run {name}' finds that "
        "out.",
    )
