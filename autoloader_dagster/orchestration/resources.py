"""Dagster resources: shells around plain classes that are tested without Dagster."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr

from autoloader_dagster.errors import UsageError
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.orchestration.runs.watch import run_watch
from autoloader_dagster.settings import Settings, check_remote, load_settings
from autoloader_dagster.specs.connections import Connections
from autoloader_dagster.specs.dagster_names import ONLY_MOUNT, Mount
from autoloader_dagster.specs.spec_set import LoadedSpec
from autoloader_dagster.state.store import ProcessedFiles

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NO_IO_MANAGER = "no_io_manager"
_SPARK = "spark_connect"
_STATE = "processed_files"
_WATCH = "run_watch"


class SparkConnectResource(dg.ConfigurableResource):
    """Apache Spark through Spark Connect: the server at ``remote``, or the embedded one."""

    remote: str | None = Field(
        default=None,
        description="sc://host:port of a Spark Connect server. Default: SPARK_REMOTE, and "
        "without it the embedded server, which is started when it is needed.",
    )

    @contextmanager
    def session(self) -> "Iterator[SparkSession]":
        """A Spark session that is closed at the end.

        Raises:
            SparkUnavailable: No server answers, within ten seconds.
        """
        from autoloader_dagster.spark.session import connect

        with connect(self._settings()) as spark:
            yield spark

    def is_running(self) -> bool:
        """Whether a session starts no server, because one is configured or runs already."""
        from autoloader_dagster.spark.server.embedded import EmbeddedServer

        settings = self._settings()
        return bool(settings.spark_remote) or EmbeddedServer(settings).status().state == "running"

    def _settings(self) -> Settings:
        settings = load_settings()
        if not self.remote:
            return settings
        check_remote(self.remote)
        return replace(settings, spark_remote=self.remote)


class ProcessedFilesResource(dg.ConfigurableResource):
    """What is known of each file and each batch, in the state database."""

    database_url: str | None = Field(
        default=None,
        description="SQLAlchemy URL. Default: AUTOLOADER_DATABASE_URL, and without it a SQLite "
        "file below AUTOLOADER_HOME.",
    )
    _store: ProcessedFiles | None = PrivateAttr(default=None)

    def close(self) -> None:
        """Close the connections; a process that executes more runs opens others."""
        if self._store is not None:
            self._store.close()

    @property
    def store(self) -> ProcessedFiles:
        """The state; its tables are created in an empty database."""
        if self._store is None:
            store = ProcessedFiles(self.database_url or load_settings().database_url)
            store.set_up()
            self._store = store
        return self._store


@dataclass(frozen=True, slots=True)
class MountResources:
    """The two resources of a mount.

    Attributes:
        spark_connect: Its Spark server.
        processed_files: Its state.
    """

    spark_connect: SparkConnectResource
    processed_files: ProcessedFilesResource


@cache
def default_resources(
    mount: Mount = ONLY_MOUNT, spark_remote: str | None = None, database_url: str | None = None
) -> dict[str, Any]:
    """What assets and jobs of a mount ask for, which no run can change.

    Always the same objects: a code location in which a key has two of them does not load.

    Args:
        mount: Each has keys of its own.
        spark_remote: Its Spark Connect server; None for that of the environment.
        database_url: Its state database; None for that of the environment.
    """
    return {
        mount.named(_SPARK): without_run_config(SparkConnectResource(remote=spark_remote)),
        mount.named(_STATE): without_run_config(ProcessedFilesResource(database_url=database_url)),
        mount.named(_WATCH): run_watch,
        mount.named(NO_IO_MANAGER): dg.IOManagerDefinition.hardcoded_io_manager(
            NoIOManager(), "Stores nothing: whoever wants the rows reads the table."
        ),
    }


class NoIOManager(dg.IOManager):
    """Stores nothing of what an asset, a check or a job returns.

    Dagster's own in memory does not go with executors that start a process for each step.
    """

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Store nothing."""

    def load_input(self, context: dg.InputContext) -> object:
        """Refuse an asset that wants the rows as an argument.

        Raises:
            UsageError: Always.
        """
        raise UsageError(
            f"{context.asset_key.to_user_string()} hands nothing on from memory",
            "Name it in 'deps' in the place of an argument, and read the table.",
        )


def resource_keys(mount: Mount) -> set[str]:
    """The keys of what sensors and schedules of a mount require."""
    return {mount.named(_SPARK), mount.named(_STATE)}


def run_resource_keys(mount: Mount) -> set[str]:
    """The keys of what assets and jobs of a mount require."""
    return {*resource_keys(mount), mount.named(_WATCH)}


def resources_of(resources: Any, mount: Mount) -> MountResources:
    """The resources of a mount, of a run or tick that requires ``resource_keys``.

    Args:
        resources: The attribute ``resources`` of Dagster's context.
        mount: Whose.
    """
    return MountResources(
        getattr(resources, mount.named(_SPARK)), getattr(resources, mount.named(_STATE))
    )


def resources_of_environment() -> MountResources:
    """The resources of the only mount, for those who are no run."""
    return MountResources(SparkConnectResource(), ProcessedFilesResource())


def without_run_config(resource: dg.ConfigurableResource[Any]) -> dg.ResourceDefinition:
    """The resource as it is, with nothing that the config of a run can change.

    Whoever may start a run could else send the worker's credentials to a server of his own.
    """
    config = resource.model_dump(exclude_none=True)
    return dg.configured(resource.get_resource_definition(), config_schema={})(lambda _: config)


def open_ingestion(
    loaded: LoadedSpec,
    connections: Connections,
    resources: MountResources,
    settings: Settings | None = None,
    *,
    steady: bool = False,
) -> Ingestion:
    """An ingestion with its source, its credentials resolved now.

    Args:
        loaded: The spec.
        connections: For its source.
        resources: Open sessions and the state.
        settings: Those of the process by default.
        steady: Whether to give the source up when it does not answer; see ``SteadySource``.
    """
    from autoloader_dagster.sources.registry import copy_store_of, open_source_of, steady_source_of

    settings = settings or load_settings()
    return Ingestion(
        loaded=loaded,
        source=(steady_source_of if steady else open_source_of)(loaded, connections),
        store=resources.processed_files.store,
        connect=resources.spark_connect.session,
        staging_dir=settings.staging_dir,
        copy_store=copy_store_of(settings, connections),
    )
