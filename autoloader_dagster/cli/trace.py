"""``trace``: from a file or a batch to all that hangs together with it.

A row of a table names its file and its batch (``_source_file``, ``_batch_id``). From either of them
this leads to the other, to the Dagster run and the Iceberg snapshot, and back to the rows.
"""

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.cli.files import Name
from autoloader_dagster.cli.orphans import orphan_json, print_orphans
from autoloader_dagster.cli.output import JsonOption, print_json, say
from autoloader_dagster.cli.project import open_specs, open_state, say_if_empty, source_base
from autoloader_dagster.cli.render.shapes import BATCHES_WITH_FILES, TRACED_FILES
from autoloader_dagster.counts import counted
from autoloader_dagster.loading.recovery.orphans import Orphan, spec_or_orphan
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.state.records import Batch, FileRow
    from autoloader_dagster.state.store import ProcessedFiles

_SHOWN = 200


def trace(
    name: Name,
    what: Annotated[
        str, typer.Argument(metavar="FILE|BATCH", help="A file, a pattern, or a batch id.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Show the files, batches, runs and snapshots that a file or batch hangs together with.

    Example: autoloader trace orders 2026-01-05.csv
    """
    settings = load_settings()
    specs = open_specs(settings)
    say_if_empty(specs)
    store = open_state(settings)
    try:
        found = spec_or_orphan(specs, name, store)
        orphan = found if isinstance(found, Orphan) else None
        ingestion = found.ingestion_id
        base = "" if isinstance(found, Orphan) else source_base(found)
        files, batches = _found(store, ingestion, base, what)
    finally:
        store.close()
    if not isinstance(found, Orphan):
        table = found.spec.table.name
    else:
        table = batches[-1].table if batches else ""
    if as_json:
        print_json(
            {
                "ingestion": ingestion,
                "table": table,
                "files": TRACED_FILES.json_list(files),
                "batches": BATCHES_WITH_FILES.json_list(batches),
                "orphan": orphan_json(orphan),
            }
        )
        return
    TRACED_FILES.print(
        files[:_SHOWN],
        "files" if len(files) <= _SHOWN else f"the first {_SHOWN} of {counted(len(files), 'file')}",
        columns=("file", "changed (UTC)", "status", "partition", "rows", "batch", "reason"),
        base=base,
    )
    BATCHES_WITH_FILES.print(
        batches, "batches", columns=("batch", "kind", "status", "files", "snapshot", "run")
    )
    for batch in batches:
        if any(row.batch_id == batch.batch_id and row.status == "SUCCESS" for row in files):
            query = shlex.quote(_rows_query(table, batch, files, what))
            say(f"rows:  autoloader query {query}")
    for run_id in dict.fromkeys(batch.run_id for batch in batches if batch.run_id):
        say(f"run:   /runs/{run_id} in the Dagster UI (autoloader up)")
    print_orphans([orphan] if orphan else [])


def _found(
    store: "ProcessedFiles", ingestion: str, base: str, what: str
) -> "tuple[list[FileRow], list[Batch]]":
    """The files of a batch, or the batches of files.

    Raises:
        NotLoaded: It is neither a batch nor a file of this ingestion.
    """
    from autoloader_dagster.loading.changes.select_files import versions_in

    batch = store.batches.get(BatchId(what))
    if batch is not None and batch.ingestion_id == ingestion:
        paths = {file.path for file in batch.files}
        held = {file.id for file in batch.files}
        rows = store.files.find(ingestion, paths=paths) if paths else ()
        return [row for row in rows if row.id in held], [batch]
    rows = versions_in(store, ingestion, base, [what])
    # Also those whose rows another one has taken out since. An id begins with its time.
    ids = {row.batch_id for row in rows if row.batch_id}
    ids.update(store.batches.of_files(ingestion, {row.id for row in rows}))
    found = [store.batches.get(each) for each in sorted(ids)]
    return rows, [batch for batch in found if batch is not None]


def _rows_query(table: str, batch: "Batch", files: "list[FileRow]", what: str) -> str:
    query = f"select * from {table} where _batch_id = '{batch.batch_id}'"
    paths = {row.file_path for row in files if row.batch_id == batch.batch_id}
    if what != batch.batch_id and len(paths) == 1:
        query += f" and _source_file = {_sql_text(paths.pop())}"
    return query


def _sql_text(text: str) -> str:
    """A SQL literal of printable characters, so that a terminal shows it and a shell takes it."""
    from autoloader_dagster.iceberg.sql import literal

    return "".join(
        char
        if char.isprintable()
        else f"\\u{ord(char):04x}"
        if ord(char) < 0x10000
        else f"\\U{ord(char):08x}"
        for char in literal(text)
    )
