"""``status``, ``history`` and ``db``: what the state database knows."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.orphans import orphan_json, orphans_json, print_orphans
from autoloader_dagster.cli.output import JsonOption, print_json, say, warn
from autoloader_dagster.cli.project import open_specs, open_state, say_if_empty
from autoloader_dagster.cli.render.shapes import BATCHES, STATUS
from autoloader_dagster.counts import counted
from autoloader_dagster.loading.recovery.orphans import Orphan, orphans_in, spec_or_orphan
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.specs.spec_set import LoadedSpec

if TYPE_CHECKING:
    from autoloader_dagster.state.store import ProcessedFiles

db = typer.Typer(help="The state database.", no_args_is_help=True)

# What a person calls the statuses, and which they are.
_WORDS = {
    "waiting": ("DISCOVERED", "FAILED"),
    "held": ("HELD",),
    "processing": ("PROCESSING",),
    "loaded": ("SUCCESS",),
    "quarantined": ("QUARANTINED",),
}


def status(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Only this spec; default all.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show for each ingestion what waits and why, what is loaded and what is quarantined.

    Example: autoloader status orders
    """
    settings = load_settings()
    specs = open_specs(settings)
    say_if_empty(specs)
    store = open_state(settings)
    try:
        if name is None:
            chosen: list[LoadedSpec | Orphan] = list(specs.specs)
            orphans = orphans_in(store, specs)
        else:
            chosen = [found := spec_or_orphan(specs, name, store)]
            orphans = [found] if isinstance(found, Orphan) else []
        rows = _totals(store, [each.ingestion_id for each in chosen])
    finally:
        store.close()
    why = _why_waiting(
        settings,
        [
            each
            for each, row in zip(chosen, rows, strict=True)
            if row["waiting"] or row["processing"]
        ],
    )
    if as_json:
        full = [row | {"why_waiting": why.get(row["ingestion"])} for row in rows]
        print_json({"ingestions": STATUS.json_list(full), "orphans": orphans_json(orphans)})
        return
    STATUS.print(rows)
    for ingestion, reason in why.items():
        say(f"files of {ingestion} wait: {reason}")
    if specs.broken and not name:
        say(
            f"{counted(len(specs.broken), 'spec is', 'specs are')} broken; see 'autoloader "
            "validate'"
        )
    print_orphans(orphans)


def history(
    name: Name,
    limit: Annotated[int, typer.Option(min=1, help="At most so many batches.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show the batches of an ingestion, the newest first.

    Example: autoloader history orders --limit 5
    """
    settings = load_settings()
    specs = open_specs(settings)
    say_if_empty(specs)
    store = open_state(settings)
    try:
        found = spec_or_orphan(specs, name, store)
        orphan = found if isinstance(found, Orphan) else None
        batches = store.batches.latest(found.ingestion_id, limit=limit)
    finally:
        store.close()
    if as_json:
        print_json({"batches": BATCHES.json_list(batches), "orphan": orphan_json(orphan)})
        return
    BATCHES.print(batches)
    print_orphans([orphan] if orphan else [])


@db.command()
def upgrade() -> None:
    """Create the state database's tables, or bring them up to date.

    Only this command changes the tables of a database that is in use.

    Example: autoloader db upgrade
    """
    from autoloader_dagster.state.store import ProcessedFiles

    store = ProcessedFiles(load_settings().database_url)
    try:
        store.upgrade()
        say(f"the state database is at revision {store.current()}")
    finally:
        store.close()


@db.command()
def current(as_json: JsonOption = False) -> None:
    """Show the revision of the state database, and the one that this version wants.

    Example: autoloader db current --json
    """
    from autoloader_dagster.state.database import REVISIONS
    from autoloader_dagster.state.store import ProcessedFiles

    store = ProcessedFiles(load_settings().database_url)
    try:
        revision, usable = store.current(), store.is_usable()
    finally:
        store.close()
    if as_json:
        print_json({"revision": revision, "wanted": REVISIONS[-1], "usable": usable})
    elif revision == REVISIONS[-1]:
        say(f"revision {revision}, up to date")
    elif revision is not None and revision not in REVISIONS:
        can = "which this version can use" if usable else "which this version cannot use"
        say(f"revision {revision} of a newer version, {can}")
    else:
        can = "; this version can use it as it is" if usable else ""
        say(f"revision {revision or 'none'}; run 'autoloader db upgrade' for {REVISIONS[-1]}{can}")


def _why_waiting(settings: Settings, waiting: list[LoadedSpec | Orphan]) -> dict[str, str]:
    """Why files still wait, by the last runs that Dagster knows of; it may know of none."""
    from autoloader_dagster.orchestration.home import known_dagster_home

    home = known_dagster_home(settings)
    if not waiting or home is None:
        return {}
    import dagster as dg

    from autoloader_dagster.orchestration.assets import asset_key
    from autoloader_dagster.orchestration.runs.tags import last_failure
    from autoloader_dagster.spark.errors import short

    reasons: dict[str, str] = {}
    try:
        with dg.DagsterInstance.from_config(str(home)) as instance:
            for each in waiting:
                asset = asset_key(each) if isinstance(each, LoadedSpec) else None
                if failed := last_failure(instance, each.ingestion_id, asset):
                    run_id, failure = failed
                    reasons[each.ingestion_id] = f"run {run_id[:8]} failed: {failure.message}"
    except Exception as error:  # of whatever storage Dagster has; the counts are shown without it
        warn(f"Dagster's storage cannot be read, so why files wait is unknown: {short(error)}")
    return reasons


def _totals(store: "ProcessedFiles", ingestions: list[str]) -> list[dict[str, Any]]:
    counts = store.totals.counts()
    rows: list[dict[str, Any]] = []
    for ingestion in ingestions:
        totals = counts.get(ingestion, {})
        row: dict[str, Any] = {"ingestion": ingestion}
        for word, statuses in _WORDS.items():
            row[word] = sum(total.files for s, total in totals.items() if s in statuses)
        row["rows"] = totals["SUCCESS"].rows if "SUCCESS" in totals else 0
        # Batches that were released in between are few; the newest recorded one is near.
        ended = [
            batch.finished_at
            for batch in store.batches.latest(ingestion, limit=50)
            if batch.status == "RECORDED"
        ]
        row["last_load"] = ended[0] if ended else None
        rows.append(row)
    return rows
