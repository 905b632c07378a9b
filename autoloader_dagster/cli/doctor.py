"""``doctor``: looks at everything that loading needs, and says what to do where it is not well."""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal

import typer
from rich.text import Text

from autoloader_dagster.cli.orphans import orphans_if_known
from autoloader_dagster.cli.output import JsonOption, literal, print_json, progress, screen
from autoloader_dagster.cli.project import open_specs
from autoloader_dagster.counts import counted, shown_size
from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.loading.recovery.orphans import Orphan
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.specs.fault import shown_path
from autoloader_dagster.specs.spec_set import LoadedSpec, SpecSet

UI_PORT = 3000
_LEAST_FREE_BYTES = 2 * 10**9
_SOURCE_SECONDS = 10
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found.

    Attributes:
        name: What was looked at.
        status: ``fail`` if nothing can be loaded so.
        detail: What was found.
        hint: What to do.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    hint: str = ""


def doctor(as_json: JsonOption = False) -> None:
    """Look at everything that loading needs; say what to do where something is not well.

    Example: autoloader doctor --json
    """
    settings = load_settings()
    with progress() as tell:
        findings: list[Finding] = []
        for name, look in _looks(settings):
            tell(name)
            try:
                findings.append(look())
            except AutoloaderError as error:
                findings.append(Finding(name, "fail", error.what, error.hint))
    if as_json:
        print_json({"checks": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            colour = _COLOURS[finding.status]
            said = literal(f"{finding.name}: {finding.detail}")
            line = Text.assemble((f"{finding.status:<4}", colour), " ", said)
            screen().print(line, soft_wrap=True)
            if finding.hint and finding.status != "ok":
                screen().print(f"       -> {literal(finding.hint)}", markup=False, soft_wrap=True)
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(2)


def _looks(settings: Settings) -> Iterator[tuple[str, Callable[[], Finding]]]:
    yield "Python", _python
    if settings.spark_remote is None:
        yield "Java", _java
        yield "jars", lambda: _jars(settings)
    yield "home", lambda: _home(settings)
    yield "Dagster home", lambda: _dagster_home(settings)
    yield "state database", lambda: _state(settings)
    yield "Spark", lambda: _spark(settings)
    yield "web port", _port
    try:
        specs = open_specs(settings)
    except AutoloaderError as error:
        finding = Finding("specs", "fail", error.what, error.hint)
        yield "specs", lambda: finding
        return
    if settings.spark_remote is not None or settings.staging is not None:
        yield "staging", lambda: _staging(settings, specs)
    yield "specs", lambda: _specs(specs)
    orphans = orphans_if_known(settings, specs)
    if orphans:
        yield "deleted specs", lambda: _orphans(orphans)
    for loaded in specs.specs:
        yield (
            f"source of {loaded.ingestion_id}",
            lambda loaded=loaded: _source(loaded, specs, settings),
        )


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", "ok", found)


def _java() -> Finding:
    from autoloader_dagster.spark.server.java import find_java

    return Finding("Java", "ok", str(find_java()))


def _jars(settings: Settings) -> Finding:
    from autoloader_dagster.spark.server.jars import JARS

    folder = settings.cache / "jars"
    missing = [jar for jar in JARS if not (folder / jar.file_name).is_file()]
    if missing:
        return Finding(
            "jars",
            "warn",
            f"{len(missing)} of {len(JARS)} are not in {folder}",
            "'autoloader spark start' downloads them; that needs the network once.",
        )
    return Finding("jars", "ok", f"{len(JARS)} in {folder}")


def _home(settings: Settings) -> Finding:
    hint = "Make room there, or set AUTOLOADER_HOME to a folder that you may write."
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(settings.home).free
    except OSError as error:
        return Finding("home", "fail", f"{settings.home}: {error.strerror or error}", hint)
    if not os.access(settings.home, os.W_OK | os.X_OK):
        return Finding("home", "fail", f"{settings.home} cannot be written", hint)
    detail = f"{settings.home}, {shown_size(free)} free"
    return Finding("home", "ok" if free > _LEAST_FREE_BYTES else "warn", detail, hint)


def _dagster_home(settings: Settings) -> Finding:
    from pathlib import Path

    set_by_user = os.environ.get("DAGSTER_HOME")
    home = Path(set_by_user) if set_by_user else settings.dagster_home
    if not home.is_absolute():
        return Finding(
            "Dagster home", "fail", f"DAGSTER_HOME is {home}", "Set it to an absolute path."
        )
    if (home / "dagster.yaml").is_file():
        return Finding("Dagster home", "ok", str(home))
    if set_by_user:
        return Finding(
            "Dagster home",
            "warn",
            f"{home} has no dagster.yaml, so Dagster's own defaults hold",
            f"Link the project's there: ln -s {Path.cwd() / 'dagster.yaml'} {home}/",
        )
    return Finding(
        "Dagster home",
        "warn",
        f"{home} is not set up yet",
        "'autoloader up' and 'autoloader run' do that.",
    )


def _state(settings: Settings) -> Finding:
    from autoloader_dagster.state.database import REVISIONS, Database
    from autoloader_dagster.state.store import ProcessedFiles

    place = Database(settings.database_url).place
    store = ProcessedFiles(settings.database_url)
    try:
        revision, usable = store.current(), store.is_usable()
    finally:
        store.close()
    known = revision in REVISIONS
    if revision == REVISIONS[-1] or (usable and not known):
        return Finding("state database", "ok", f"{place}, revision {revision}")
    if revision is None:
        return Finding(
            "state database",
            "warn",
            f"{place} has no tables yet",
            "The next command that needs them creates them, as does 'autoloader db upgrade'.",
        )
    if known:
        return Finding(
            "state database",
            "warn" if usable else "fail",
            f"{place} is at revision {revision}, {REVISIONS[-1]} is wanted",
            "Run 'autoloader db upgrade'." + (" Until then it is used as it is." if usable else ""),
        )
    return Finding(
        "state database",
        "fail",
        f"{place} is at revision {revision}, which this version does not know",
        "It was upgraded by a newer version: install that one here too.",
    )


def _spark(settings: Settings) -> Finding:
    if settings.spark_remote is not None:
        from autoloader_dagster.spark.session import SparkConnect

        connect = SparkConnect(settings)
        with connect.session():
            return Finding("Spark", "ok", connect.server)
    from autoloader_dagster.spark.server.embedded import EmbeddedServer

    found = EmbeddedServer(settings).status()
    where = f" at {found.address.url}" if found.address else ", and starts when it is needed"
    return Finding("Spark", "ok", f"the embedded server is {found.state}{where}")


def _staging(settings: Settings, specs: SpecSet) -> Finding:
    from autoloader_dagster.loading.staging_probe import probe_staging
    from autoloader_dagster.sources.registry import copy_store_of
    from autoloader_dagster.spark.session import connect

    store = copy_store_of(settings, specs.connections)
    with connect(settings) as spark:
        where = probe_staging(spark, settings.staging_dir, store)
    return Finding("staging", "ok", f"driver and executors read copies in {where}")


def _port() -> Finding:
    if port_error("127.0.0.1", UI_PORT) is None:
        return Finding("web port", "ok", f"{UI_PORT} is free")
    return Finding(
        "web port",
        "warn",
        f"port {UI_PORT} is in use, perhaps by 'autoloader up' itself",
        "Start the UI with 'autoloader up --port' and another one.",
    )


def port_error(host: str, port: int) -> OSError | None:
    """Why a server cannot listen there; None if it can. A name may have several addresses."""
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        for family, kind, protocol, _, address in found:
            with socket.socket(family, kind, protocol) as probe:
                # As the web server does it.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
    except OSError as error:
        return error
    return None


def _specs(specs: SpecSet) -> Finding:
    if specs.faults:
        return Finding(
            "specs",
            "fail",
            f"{len(specs.specs)} good, {counted(len(specs.faults), 'fault')}; the first: "
            f"{specs.faults[0]}",
            "'autoloader validate' shows all of them.",
        )
    if not specs.specs:
        return Finding(
            "specs",
            "warn",
            f"there is none in {shown_path(specs.folder)}",
            "Write one; the README shows how.",
        )
    return Finding("specs", "ok", f"{len(specs.specs)} good")


def _orphans(orphans: list[Orphan]) -> Finding:
    return Finding("deleted specs", "warn", "; ".join(map(str, orphans)), orphans[0].advice)


def _source(loaded: LoadedSpec, specs: SpecSet, settings: Settings) -> Finding:
    from autoloader_dagster.sources.registry import steady_source_of

    name, source = f"source of {loaded.ingestion_id}", loaded.spec.source
    # So that a mount or a host that hangs cannot hold the doctor up.
    steady = steady_source_of(loaded, specs.connections, _SOURCE_SECONDS)
    page = next(steady.list_pages(), None)
    if not page:
        return Finding(
            name,
            "warn",
            f"{source.url} has no file that the spec's filters choose",
            "See source.include and source.exclude, if there should be some.",
        )
    return Finding(name, "ok", f"{source.url}, files are there")
