"""``unused``: data files that a killed writer left behind, and their removal."""

from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster.cli.amend import YesOption, confirmed
from autoloader_dagster.cli.orphans import spec_named
from autoloader_dagster.cli.output import JsonOption, print_error, print_json, progress, say
from autoloader_dagster.cli.project import left_out, open_specs, open_state
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import FolderShared
from autoloader_dagster.settings import load_settings

if TYPE_CHECKING:
    from autoloader_dagster.loading.recovery.unused_files import UnusedFiles

# As Iceberg's own procedure has it.
_DEFAULT_DAYS = 3.0
_SHOWN = 20


def unused_files_of_tables(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these specs; default all.", metavar="NAME…")
    ] = None,
    days: Annotated[
        float, typer.Option(min=1, help="Only files that are older than so many days.")
    ] = _DEFAULT_DAYS,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Find files that no snapshot of a table names, as a killed Spark driver leaves; --yes removes.

    Files that may belong to a load under way are never among them. A table in whose folder another
    table of the catalog has files is refused.

    Example: autoloader unused orders --days 7 --yes
    """
    settings = load_settings()
    specs = open_specs(settings)
    chosen = [spec_named(specs, settings, name) for name in names] if names else list(specs.specs)
    tables = sorted({loaded.spec.table.name for loaded in chosen})
    found: list[UnusedFiles] = []
    refused: dict[str, FolderShared] = {}
    with progress() as tell:
        tell("connect to Spark")
        from autoloader_dagster.iceberg.table_folders import CatalogFolders
        from autoloader_dagster.loading.recovery.unused_files import find_unused_files
        from autoloader_dagster.spark.session import connect

        def confirm(unused: "UnusedFiles") -> bool:
            tell.done()
            if not as_json:
                _print_files(unused)
            count = len(unused.files or ())
            return confirmed(yes, as_json, f"Remove {counted(count, 'file')} of {unused.table}?")

        with closing(open_state(settings)) as state, connect(settings, tell.download) as spark:
            folders = CatalogFolders(spark, tell)
            for table in tables:
                tell(f"look at the files of {table}")
                age = timedelta(days=days)
                try:
                    each = find_unused_files(spark, state, table, age, confirm, folders)
                except FolderShared as error:
                    tell.done()
                    print_error(error)
                    refused[table] = error
                    continue
                found.append(each)
                tell.done()
                if not as_json:
                    _print(each)
    if as_json:
        print_json(
            {
                "tables": [_json(each) for each in found],
                "refused": [
                    {"table": table, "what": error.what, "hint": error.hint}
                    for table, error in refused.items()
                ],
            }
        )
    code = 0 if names else left_out(specs, chosen, "there is no spec", "not looked at")
    if code or refused:
        raise typer.Exit(code or 1)


def _print_files(unused: "UnusedFiles") -> None:
    files = unused.files or ()
    for address in files[:_SHOWN]:
        say(f"  {address}")
    if len(files) > _SHOWN:
        say(f"  and {len(files) - _SHOWN:,} more; --json names all of them")


def _print(unused: "UnusedFiles") -> None:
    files = counted(len(unused.files or ()), "unused file")
    when = f"written before {unused.before:%Y-%m-%d %H:%M} UTC"
    if unused.files is None:
        say(f"{unused.table}: the table does not exist yet")
    elif unused.removed:
        say(f"{unused.table}: {files} {when}; removed")
    elif unused.files:
        say(f"{unused.table}: {files} {when}; nothing was changed; --yes removes them")
    else:
        say(f"{unused.table}: no unused files {when}")


def _json(unused: "UnusedFiles") -> dict[str, Any]:
    return {
        "table": unused.table,
        "table_exists": unused.files is not None,
        "before": unused.before.isoformat(),
        "dry_run": not unused.removed,
        "files": list(unused.files or ()),
    }
