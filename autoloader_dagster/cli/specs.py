"""``validate`` and ``list``: the specs by themselves; nothing is listed, read or started."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from autoloader_dagster.cli.orphans import orphans_if_known, orphans_json, print_orphans
from autoloader_dagster.cli.output import JsonOption, literal, print_json, say, screen
from autoloader_dagster.cli.project import open_specs, say_if_empty
from autoloader_dagster.cli.render.shapes import FAULTS, SPECS
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import SpecError
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.spark.catalogs import catalogs_in, unknown_catalog
from autoloader_dagster.spark.server.conf import server_conf
from autoloader_dagster.specs.fault import SpecFault, shown_path
from autoloader_dagster.specs.model import Trigger
from autoloader_dagster.specs.spec_set import BrokenSpec, LoadedSpec, SpecSet
from autoloader_dagster.specs.table import Partition


def validate(
    names: Annotated[
        list[str] | None, typer.Argument(help="Only these specs; default all.", metavar="NAME…")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check the specs and show every fault of every file, with its line.

    Example: autoloader validate orders acme/customers
    """
    settings = load_settings()
    specs = open_specs(settings)
    say_if_empty(specs)
    good, faults = _chosen(specs, names or [])
    elsewhere = _unknown_catalogs(good, settings)
    faults += elsewhere
    good = [spec for spec in good if spec.path not in {fault.file for fault in elsewhere}]
    if as_json:
        print_json(
            {
                "specs": [_spec_json(spec) for spec in good],
                "faults": FAULTS.json_list(faults),
            }
        )
    else:
        for fault in faults:
            screen(stderr=True).print(
                literal(str(fault)).replace("\n", r"\n"), markup=False, soft_wrap=True
            )
        if good:
            _print_specs(good, [])
        said = f"{counted(len(good), 'spec is', 'specs are')} good"
        say(f"{said}, {counted(len(faults), 'fault')}" if faults else said)
    if faults:
        raise typer.Exit(1)


def list_specs(as_json: JsonOption = False) -> None:
    """List the specs, the broken ones too, and what deleted ones left behind.

    Example: autoloader list --json
    """
    settings = load_settings()
    specs = open_specs(settings)
    say_if_empty(specs)
    orphans = orphans_if_known(settings, specs)
    if as_json:
        print_json(
            {
                "specs": [*map(_spec_json, specs.specs), *map(_broken_json, specs.broken)],
                "orphans": orphans_json(orphans),
            }
        )
        return
    _print_specs(specs.specs, specs.broken)
    print_orphans(orphans)


def _chosen(specs: SpecSet, names: list[str]) -> tuple[list[LoadedSpec], list[SpecFault]]:
    """The good specs and the faults of those that were asked for.

    Raises:
        SpecError: There is no spec of a name.
    """
    if not names:
        return list(specs.specs), list(specs.faults)
    good: list[LoadedSpec] = []
    faults: list[SpecFault] = []
    for name in names:
        broken = [s for s in specs.broken if name in (s.ingestion_id, s.name)]
        whole = [s for s in specs.specs if name in (s.ingestion_id, s.spec.name)]
        if not broken and not whole:
            specs.get(name)
            raise SpecError(f"there is no spec '{name}'")
        good += whole
        faults += [fault for spec in broken for fault in spec.faults]
    return good, faults


def _unknown_catalogs(specs: list[LoadedSpec], settings: Settings) -> list[SpecFault]:
    """Tables in catalogs that the embedded server does not have; another server is not asked."""
    if settings.spark_remote is not None:
        return []
    catalogs = catalogs_in(server_conf(settings, settings.spark_dir))
    return [
        SpecFault(
            loaded.path,
            _line_of(loaded.path, loaded.spec.table.name),
            "table.name",
            unknown_catalog(loaded.spec.table.name, catalogs),
        )
        for loaded in specs
        if loaded.spec.table.name.split(".")[0] not in catalogs
    ]


def _line_of(path: Path, text: str) -> int | None:
    with suppress(OSError, UnicodeDecodeError):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if text in line.partition("#")[0]:
                return number
    return None


def _spec_json(loaded: LoadedSpec) -> dict[str, Any]:
    spec = loaded.spec
    return {
        "name": spec.name,
        "tenant": loaded.tenant,
        "file": shown_path(loaded.path),
        "status": spec.status,
        "source": spec.source.url,
        "format": spec.format.type,
        "table": spec.table.name,
        "partition": _partition_in_words(spec.partition),
        "trigger": _trigger_in_words(spec.trigger),
        "broken": False,
        "faults": [],
    }


def _broken_json(broken: BrokenSpec) -> dict[str, Any]:
    return {
        "name": broken.name,
        "tenant": broken.tenant,
        "file": shown_path(broken.path),
        "status": "broken",
        "source": None,
        "format": None,
        "table": None,
        "partition": None,
        "trigger": None,
        "broken": True,
        "faults": [str(fault) for fault in broken.faults],
    }


def _print_specs(
    specs: list[LoadedSpec] | tuple[LoadedSpec, ...],
    broken: list[BrokenSpec] | tuple[BrokenSpec, ...],
) -> None:
    rows = [_spec_json(spec) for spec in specs] + [_broken_json(spec) for spec in broken]
    SPECS.print(rows)
    for spec in broken:
        say(str(spec.faults[0]).replace("\n", r"\n"))


def _partition_in_words(partition: Partition) -> str:
    if partition.kind == "none":
        return "none"
    if partition.kind == "key":
        return f"key {partition.pattern}"
    return f"{partition.every} by {partition.by}"


def _trigger_in_words(trigger: Trigger) -> str:
    words: list[str] = []
    if trigger.on_arrival:
        words.append(f"on arrival, every {trigger.on_arrival.every.total_seconds():.0f} s")
    if trigger.schedule:
        words.append(trigger.schedule)
    return "; ".join(words) or "by hand"
