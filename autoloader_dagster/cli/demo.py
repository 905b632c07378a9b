"""``demo``: the main job on real files, from landing folders to tables that can be queried."""

import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from autoloader_dagster.cli.output import print_table, progress, say
from autoloader_dagster.cli.project import open_specs, open_state
from autoloader_dagster.cli.run import raise_failure
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import AutoloaderError, UsageError
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.sources.base import source_kind
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from autoloader_dagster.cli.output import Progress
    from autoloader_dagster.orchestration.runs.run_asset import RunReport


class _Demo(NamedTuple):
    spec: str
    table: str
    pattern: str


_COVID = _Demo("covid_daily", "lake.health.covid_daily", "*.csv")
# The quickest first, so that there are rows to see early: the first load on a fresh server pays
# for the loading of Spark's classes.
_DEMOS = (
    _Demo("weather_hourly", "lake.weather.hourly", "*.csv"),
    _Demo("cloudtrail", "lake.security.cloudtrail", "*.json"),
    _COVID,
)
# The day whose first version is cut short, so that its correction can arrive later.
_CORRECTED = "03-22-2020.csv"
_FIRST_LINES = 1000

_SAMPLE_QUERY = (
    "select _partition_key as day, country_region as country, sum(confirmed) as confirmed, "
    "sum(deaths) as deaths from lake.health.covid_daily where _partition_key = '2020-11-09' "
    "group by 1, 2 order by confirmed desc nulls last limit 5"
)
_QUERY_TO_TRY = (
    "select country_region, sum(deaths) as deaths from lake.health.covid_daily "
    "where _partition_key = '2020-11-09' group by 1 order by 2 desc"
)


@dataclass(frozen=True)
class _Stage:
    """What the demo works on."""

    settings: Settings
    specs: SpecSet
    samples: Path
    loaded: dict[str, LoadedSpec]
    began: float

    def say(self, text: str) -> None:
        say(f"[{time.monotonic() - self.began:5.1f} s] {text}")

    def landing(self, demo: _Demo) -> Path:
        return Path(self.loaded[demo.spec].spec.source.url)

    def files(self, demo: _Demo) -> list[Path]:
        return sorted((self.samples / demo.spec).glob(demo.pattern))


def demo() -> None:
    """Load the real sample files through their Dagster assets, and show what came out.

    Example: autoloader demo
    """
    stage = _set_the_stage(load_settings())
    stage.say("real files: COVID-19 dailies (CSV), AWS CloudTrail (nested JSON), weather (CSV)")
    spark_is_up = _start_spark_meanwhile(stage.settings)
    with progress() as tell:
        tell("start Dagster")
        from autoloader_dagster.orchestration.home import ensure_dagster_home
        from autoloader_dagster.spark.session import connect

        ensure_dagster_home(stage.settings)
        _forget(stage)
        covid = stage.files(_COVID)
        last = covid[-1]
        _land(stage, last)
        tell("start Spark")
        spark_is_up()
        with connect(stage.settings, tell.download) as spark:
            for each in _DEMOS:
                spark.sql(f"drop table if exists {each.table} purge")
            stage.say("Spark runs; the landing folders are filled; nothing is loaded yet")
            reports = [(each, _run(stage, each, tell)) for each in _DEMOS]
            tell.done()
            _print_runs(reports)

            _copy(last, stage.landing(_COVID) / last.name)
            _copy(stage.samples / _COVID.spec / _CORRECTED, stage.landing(_COVID) / _CORRECTED)
            stage.say(f"dropped a new file ({last.name}) and a corrected one ({_CORRECTED})")
            again = _run(stage, _COVID, tell)
            tell.done()
            _print_second(again)

            _print_tables(spark)
    stage.say("done")
    _print_next()


def _set_the_stage(settings: Settings) -> _Stage:
    """Find the specs and samples, and make sure that nothing else would be touched.

    Raises:
        UsageError: This is not the repository, or the demo's specs were changed.
    """
    began = time.monotonic()
    if settings.spark_remote is not None:
        raise UsageError(
            "the demo drops and makes tables on the embedded Spark server, and SPARK_REMOTE is set",
            "Unset SPARK_REMOTE for the demo.",
        )
    samples = settings.specs_dir.parent / "samples"
    if not (samples / _COVID.spec).is_dir():
        raise UsageError(
            f"the demo's files are not in {samples}", "Run it from a checkout of the repository."
        )
    specs = open_specs(settings)
    loaded = {each.spec: specs.get(each.spec) for each in _DEMOS}
    for each in _DEMOS:
        spec = loaded[each.spec].spec
        landing = source_kind(spec.source).local and Path(spec.source.url).parent
        if spec.table.name != each.table or not landing or landing.name != "landing":
            raise UsageError(
                f"the demo starts {each.spec} afresh, and its spec was changed to another table or "
                f"source ({spec.table.name} from {spec.source.url})",
                "Give the changed spec a name of its own, and restore the demo's.",
            )
    return _Stage(settings, specs, samples, loaded, began)


def _start_spark_meanwhile(settings: Settings):
    """Start the server beside the rest; the returned call waits for it."""
    from autoloader_dagster.spark.server.embedded import EmbeddedServer

    errors: list[AutoloaderError] = []

    def start() -> None:
        try:
            EmbeddedServer(settings).ensure()
        except AutoloaderError as error:
            errors.append(error)

    thread = threading.Thread(target=start, name="start-spark", daemon=True)
    thread.start()

    def wait() -> None:
        thread.join()
        if errors:
            raise errors[0]

    return wait


def _forget(stage: _Stage) -> None:
    """What is known of the three ingestions: their files and batches, and their assets' events."""
    from autoloader_dagster.orchestration.assets import asset_key
    from autoloader_dagster.orchestration.instance import open_instance

    store = open_state(stage.settings)
    try:
        for each in _DEMOS:
            store.tables.forget(stage.loaded[each.spec].ingestion_id)
            store.tables.forget_table(each.table)
    finally:
        store.close()
    with open_instance() as instance:
        keys = [asset_key(loaded) for loaded in stage.loaded.values()]
        instance.wipe_assets([key for key in keys if instance.has_asset_key(key)])


def _land(stage: _Stage, last: Path) -> None:
    """Fill the landing folders with the first state of the sources."""
    try:
        for each in _DEMOS:
            landing = stage.landing(each)
            landing.mkdir(parents=True, exist_ok=True)
            for file in stage.files(each):
                target = landing / file.name
                if file == last:
                    target.unlink(missing_ok=True)
                elif file.name == _CORRECTED:
                    lines = file.read_bytes().splitlines(keepends=True)
                    _write(target, b"".join(lines[:_FIRST_LINES]))
                else:
                    _copy(file, target)
    except OSError as error:
        raise UsageError(
            f"the landing folders cannot be filled: {error}", "Make room, or correct the rights."
        ) from error


def _copy(file: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.part")
    shutil.copyfile(file, fresh)
    fresh.replace(target)


def _write(target: Path, content: bytes) -> None:
    fresh = target.with_name(f".{target.name}.part")
    fresh.write_bytes(content)
    fresh.replace(target)


def _run(stage: _Stage, each: _Demo, tell: "Progress") -> "RunReport":
    from autoloader_dagster.orchestration.runs.run_asset import run_now

    report = run_now(stage.loaded[each.spec], stage.specs.connections, progress=tell)
    raise_failure(report)
    tell.done()
    run = f", run {report.run_id[:8]}" if report.run_id else ""
    stage.say(
        f"{each.spec}: {counted(report.files.loaded, 'file')}, {counted(report.rows, 'row')}, "
        f"{report.seconds:.1f} s{run}"
    )
    return report


def _print_runs(reports: "Sequence[tuple[_Demo, RunReport]]") -> None:
    print_table(
        ("table", ">files", ">partitions", ">rows", "snapshot"),
        (
            (
                each.table,
                report.files.loaded,
                len({row.partition_key for row in report.loaded if row.partition_key}) or None,
                report.rows,
                ", ".join(str(batch.snapshot_id) for batch in report.batches),
            )
            for each, report in reports
        ),
    )


def _print_second(report: "RunReport") -> None:
    print_table(
        ("just these were loaded", "partition", ">rows", "snapshot"),
        (
            (
                Path(row.file_path).name,
                row.partition_key,
                row.rows,
                str(row.snapshot_id),
            )
            for row in report.loaded
        ),
    )
    say(f"{counted(report.files.unchanged, 'file')} unchanged and not read")


def _print_tables(spark: "SparkSession") -> None:
    rows = [
        (each.table, spark.table(each.table).count(), _snapshots(spark, each.table))
        for each in _DEMOS
    ]
    print_table(("table", ">rows now", ">snapshots"), rows)
    frame = spark.sql(_SAMPLE_QUERY)
    print_table(
        [name if name in ("day", "country") else f">{name}" for name in frame.columns],
        [tuple(row) for row in frame.collect()],
        "a look at the data",
    )


def _snapshots(spark: "SparkSession", table: str) -> int:
    return spark.table(f"{table}.history").count()


def _print_next() -> None:
    command = "autoloader"
    if not os.environ.get("VIRTUAL_ENV") and Path(".venv/bin/autoloader").exists():
        command = ".venv/bin/autoloader"
    say("what to try next:")
    for line, what in (
        ("up", "the Dagster UI, with sensors that load what is dropped"),
        ("files covid_daily", "every file, and what became of it"),
        (f'query "{_QUERY_TO_TRY}"', "Spark SQL on the tables"),
    ):
        say(f"  {command} {line}\n      {what}")
    say("  and write a spec of your own: one short YAML file in ingestion_specs/ makes a table")
