"""Specs that get in each other's way: one name, one table or one key in Dagster."""

from collections import defaultdict
from collections.abc import Mapping

from autoloader_dagster.specs.dagster_names import DEFAULT_TENANT, clash, dagster_names
from autoloader_dagster.specs.draft import Draft
from autoloader_dagster.specs.fault import shown_path
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.tenants import Tenants


def blame_conflicts(drafts: list[Draft], tenants: Tenants) -> None:
    """Find specs that get in each other's way.

    Both sides of a conflict are broken, because nobody can tell which one is meant; but a spec that
    is broken already never takes a good one with it, and where tenants are limited, a tenant's spec
    never takes one of the root with it.
    """
    usable = [draft for draft in drafts if draft.usable]
    # By each of its names, so that no spec is compared with all others.
    having: dict[object, list[Draft]] = defaultdict(list)
    writing: dict[str, dict[_Writes, list[Draft]]] = defaultdict(lambda: defaultdict(list))
    for draft in usable:
        for name in _compared(draft):
            having[name].append(draft)
        if draft.spec:
            writing[_asset(draft.spec)][_writes(draft.spec)].append(draft)
    for draft in drafts:
        others = {id(other): other for name in _compared(draft) for other in having[name]}
        if draft.spec:
            others |= _rivals(draft.spec, writing[_asset(draft.spec)])
        for other in others.values():
            roots_own = draft.tenant == DEFAULT_TENANT and other.tenant != DEFAULT_TENANT
            if other is not draft and not (tenants.file and roots_own):
                _blame_conflict(draft, other)


def _compared(draft: Draft) -> list[object]:
    own: list[object] = [("id", draft.tenant, draft.name)]
    if draft.spec:
        names = dagster_names(draft.spec, draft.tenant, draft.name)
        own += [names.asset, names.source]
        own += [("node", names.node), ("trigger", names.trigger)]
    return own


# The table that a spec writes, and whether it shares it.
_Writes = tuple[str, bool]


def _writes(spec: IngestionSpec) -> _Writes:
    return spec.table.name, spec.table.shared


def _rivals(spec: IngestionSpec, writers: Mapping[_Writes, list[Draft]]) -> dict[int, Draft]:
    """The specs that write the same table and do not share it with this one.

    Those that share it are not among them, because a thousand specs may share a table.
    """
    own = _writes(spec)
    return {
        id(other): other
        for writes, others in writers.items()
        if not (spec.table.shared and writes == own)
        for other in others
    }


def _blame_conflict(draft: Draft, other: Draft) -> None:
    file = shown_path(other.file)
    same = (draft.tenant, draft.name) == (other.tenant, other.name)
    if same:
        draft.blame(("name",), f"'{draft.name}' is the name of {file} too")
    if draft.spec is None or other.spec is None:
        return
    conflict = _table_conflict(draft.spec, other.spec, file)
    if conflict:
        draft.blame(("table", "name"), conflict)
        return
    shared = clash(
        dagster_names(draft.spec, draft.tenant, draft.name),
        dagster_names(other.spec, other.tenant, other.name),
    )
    if shared and not same:
        draft.blame(("name",), f"'{draft.name}' and {file} would both be {shared}; rename one")


def _asset(spec: IngestionSpec) -> str:
    """The table's namespace and name; the catalog is no part of the asset's key."""
    return spec.table.name.split(".", 1)[1]


def _table_conflict(spec: IngestionSpec, other: IngestionSpec, other_file: str) -> str | None:
    mine, theirs = spec.table, other.table
    asset = _asset(spec)
    if asset != _asset(other):
        return None
    if mine.name != theirs.name:
        return (
            f"'{mine.name}' and '{theirs.name}' ({other_file}) would be one Dagster asset, "
            f"{asset.replace('.', '/')}; give them other names"
        )
    if mine.shared and theirs.shared:
        return None
    return (
        f"'{mine.name}' is the table of {other_file} too; give each its own, or say "
        "table.shared: true in all of them"
    )
