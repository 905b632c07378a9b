"""Keeps a table to the ingestion that loads it, until its state is handed over.

The state knows files by the ingestion, ``tenant/name``. A spec with another name or in another
tenant's folder knows none of them, and would load all of them again. So a table that is not shared
carries the name of its ingestion as a property, which a lost state cannot lose.
"""

from collections.abc import Collection
from dataclasses import dataclass

from autoloader_dagster.errors import NotLoaded, TableOwned, UsageError
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.lakehouse import Table
from autoloader_dagster.state.records import HandOver


def owner_in_state(ingestion: Ingestion, table_id: str | None = None) -> str | None:
    """The ingestion that has this one's table, as far as the state knows; None if nobody else.

    Args:
        ingestion: Which one.
        table_id: The table that has the name now; default the one that the ingestion followed.
    """
    store, name = ingestion.store, ingestion.spec.table.name
    others = store.tables.loaders_of(name, but=ingestion.id)
    if not others:
        return None
    if table_id is None:
        table_id = store.tables.get(name, ingestion.id).table_id
    here = {
        other
        for other, tables in others.items()
        if table_id is None or None in tables or table_id in tables
    }
    if ingestion.spec.table.shared:
        here -= ingestion.loaded.named_ingestions
        other = store.tables.waiting_paths_of(ingestion.id, here) if here else None
    else:
        other = min(here, default=None)
    return other


def refuse_other_owner(ingestion: Ingestion, table: Table, table_id: str) -> None:
    """Refuse a table that another ingestion loads; a table of nobody becomes this one's.

    Raises:
        TableOwned: The table carries the name of another ingestion, or the state knows that
            another one has loaded it.
    """
    owner = None if ingestion.spec.table.shared else table.owner()
    if owner == ingestion.id:
        return
    owner = owner or owner_in_state(ingestion, table_id)
    if owner is not None:
        raise TableOwned(why_owned(ingestion, owner), how_to_adopt(ingestion, owner))
    if not ingestion.spec.table.shared:
        table.set_owner(ingestion.id)


def how_to_adopt(ingestion: Ingestion, owner: str) -> str:
    """What to do about it."""
    return (
        f"If the spec was renamed or moved, run 'autoloader adopt {ingestion.id} --from "
        f"{owner}'. If not, give table.name another table, or set table.shared in both "
        "specs. If the old table was dropped, 'autoloader run' loads the new one."
    )


def why_owned(ingestion: Ingestion, other: str) -> str:
    """Why this ingestion must not load its table."""
    return (
        f"table {ingestion.spec.table.name} holds files that the ingestion {other} loaded, and "
        f"{ingestion.id} would load them again"
    )


@dataclass(frozen=True, slots=True)
class Adopted:
    """What an adoption hands over.

    Attributes:
        old: The ingestion whose state it was.
        new: The ingestion whose state it becomes.
        table: The table of the new one.
        state: What of the state is handed over.
        done: Whether it was done; else it was only looked at.
    """

    old: str
    new: str
    table: str
    state: HandOver
    done: bool


def adopt(
    ingestion: Ingestion, old: str, *, unread: Collection[str], dry_run: bool = True
) -> Adopted:
    """Hand the state of an ingestion that has no spec any more over to this one.

    Args:
        ingestion: The one with a spec.
        old: ``tenant/name`` of the other; a name alone is of the tenant ``default``.
        unread: Tenants of which not all spec files are read; see ``SpecSet``.
        dry_run: Only say what would be handed over.

    Raises:
        UsageError: A spec of that name exists, it is this one's own name, or it has loaded other
            tables than this one's.
        NotLoaded: Nothing is known of it.
        FilesInUse: One of both is at work.
        LoadError: Both have loaded the same file.
    """
    old = old if "/" in old else f"default/{old}"
    tenant = old.partition("/")[0]
    if tenant in unread:
        raise UsageError(
            f"{old} has perhaps a spec of its own, because not all spec files of tenant '{tenant}' "
            "are read",
            "Ask the operator to raise max_specs in _tenant.yaml, or remove spec files.",
        )
    if old == ingestion.id or old in ingestion.loaded.named_ingestions:
        raise UsageError(
            f"{old} has a spec of its own, so its state cannot be handed over",
            "Remove or rename that spec first.",
        )
    store, name = ingestion.store, ingestion.spec.table.name
    with ingestion.connect() as spark:
        table = ingestion.table(spark, name)
        owner = table.owner() if table.exists() else None
        found = store.tables.hand_over(old, ingestion.id, ingestion.loaded.tenant, really=False)
        if not found.files and not found.batches and owner != old:
            raise NotLoaded(
                f"nothing is known of an ingestion {old}, and {name} is not its table",
                "'autoloader history' and the table's property autoloader.ingestion show names.",
            )
        if found.tables and name not in found.tables and owner != old:
            # Nothing would tell any more that the old table has their rows.
            raise UsageError(
                f"{old} has loaded {' and '.join(found.tables)}, and table.name of {ingestion.id} "
                f"is {name}",
                "Its files would be loaded again, so nothing was handed over. Set table.name to "
                "the table with their rows, and adopt then. To load all files into the new table, "
                "adopt nothing.",
            )
        if not dry_run:
            found = store.tables.hand_over(old, ingestion.id, ingestion.loaded.tenant, really=True)
            # After the state: if this fails, loading is still refused, and adopting goes on here.
            if owner is not None and not ingestion.spec.table.shared:
                table.set_owner(ingestion.id)
    return Adopted(old, ingestion.id, name, found, not dry_run)
