"""What the jobs have in common, and how Dagster's job is built of a ``Job``."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import dagster as dg
from pydantic import Field

from autoloader_dagster.errors import SpecGone
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.recovery.orphans import Orphan, spec_or_orphan
from autoloader_dagster.orchestration.assets import asset_key
from autoloader_dagster.orchestration.jobs.metadata import Metadata
from autoloader_dagster.orchestration.pages import AssetEvent, Pages
from autoloader_dagster.orchestration.resources import (
    NO_IO_MANAGER,
    MountResources,
    open_ingestion,
    resources_of,
    run_resource_keys,
)
from autoloader_dagster.orchestration.runs.failures import failing_in_words
from autoloader_dagster.orchestration.runs.tags import INGESTION_TAG, ended_runs
from autoloader_dagster.redaction import struck_errors
from autoloader_dagster.specs.spec_set import SpecSet
from autoloader_dagster.specs.values import IDENTIFIER

# More than these nobody reads through; the name is typed in then.
_MOST_CHOICES = 50

DRY_RUN = "Only say what would be done, and change nothing."
_FILES = (
    "The files: names below the source, full addresses, their last part or parts as 2026/a.csv, or "
    "patterns with * and ?. A file of exactly this name comes before a pattern."
)


class ChosenFiles(dg.Config):
    """Files of an ingestion."""

    ingestion: str = Field(description="Name of the spec, or tenant/name.")
    files: list[str] = Field(default=[], description=_FILES)


_Config = TypeVar("_Config", bound=dg.Config)


def config_fields(config: type[dg.Config], ingestions: Collection[str]) -> dict[str, dg.Field]:
    """The config fields of a class, all of which take a value only.

    Dagster itself also takes ``{env: NAME}`` for text, numbers and booleans: whoever may start a
    run could then read any variable of the worker in the run's log.

    Args:
        config: The class; its field ``ingestion`` is a choice.
        ingestions: What to choose from, see ``names_to_choose``; empty for any text.
    """
    fields = {
        name: dg.Field(
            _value_only(_not_null(field)),
            description=field.description,
            **({"default_value": field.default_value} if field.default_provided else {}),
            is_required=field.is_required,
        )
        for name, field in config.to_fields_dict().items()
    }
    if ingestions:
        # Dagster takes two of one name for the same type, so its choices are part of the name. Its
        # message about another value says "not in enum type NameOfASpec_...".
        digest = hashlib.sha256("\n".join(ingestions).encode()).hexdigest()[:8]
        choice = dg.Enum(f"NameOfASpec_{digest}", [dg.EnumValue(name) for name in ingestions])
        fields["ingestion"] = dg.Field(choice, description=fields["ingestion"].description)
    return fields


def names_to_choose(specs: SpecSet, removed: Iterable[str] = ()) -> list[str]:
    """The names that a job takes for an ingestion, for the Launchpad; none if there are too many.

    Args:
        specs: All specs. Those that are broken are there too, because the run says what is wrong
            with them; but not one whose name is what is wrong, because Dagster takes no such
            choice, and a ``/`` in it would make it the name of another tenant's spec.
        removed: Ingestions that were there when the run of this process was requested.
    """
    known = (*specs.specs, *specs.broken)
    named = {each.ingestion_id for each in known if _is_name(each.tenant, each.ingestion_id)}
    ids = named.union(removed)
    bare = Counter(ingestion.partition("/")[2] for ingestion in ids)
    names = [*sorted(name for name, count in bare.items() if count == 1), *sorted(ids)]
    return names if len(ids) <= _MOST_CHOICES else []


def _is_name(tenant: str, ingestion_id: str) -> bool:
    name = ingestion_id.removeprefix(f"{tenant}/")
    return bool(IDENTIFIER.fullmatch(tenant) and IDENTIFIER.fullmatch(name))


def _not_null(field: dg.Field) -> Any:
    """The type of a field, without null where its default is something else."""
    kind = field.config_type
    null = not field.default_provided or field.default_value is None
    return kind if null or not isinstance(kind, dg.Noneable) else kind.inner_type


def _value_only(kind: Any) -> Any:
    plain = {dg.StringSource: dg.String, dg.IntSource: dg.Int, dg.BoolSource: dg.Bool}
    if kind in plain:
        return plain[kind]
    if isinstance(kind, dg.Array):
        return dg.Array(_value_only(kind.inner_type))
    if isinstance(kind, dg.Noneable):
        return dg.Noneable(_value_only(kind.inner_type))
    return kind


def op_name(job_name: str) -> str:
    """The key of a job's config; Dagster wants it to differ from the job's own name."""
    return f"{job_name}_op"


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job, as its work sees it.

    Attributes:
        ingestion: What the run is about.
        pages: What Dagster shows of it, read before the work begins.
        context: Dagster's own.
    """

    ingestion: Ingestion
    pages: Pages
    context: dg.OpExecutionContext

    def log(self, message: str, *values: object) -> None:
        """Write a line into the run's log."""
        self.context.log.info(message, *values)

    def show(self, metadata: Metadata) -> None:
        """Show what the run did on its page."""
        self.context.add_output_metadata(metadata)

    def write(self, events: Iterable[AssetEvent]) -> None:
        """Write events of the asset."""
        for event in events:
            # It takes evaluations of checks as well, which its annotation does not say.
            self.context.log_event(cast(Any, event))

    def ended_runs(self) -> set[str]:
        """The runs that hold batches and have ended."""
        return ended_runs(self.context.instance, self.ingestion.store.batches.open_run_ids())


@dataclass(frozen=True, slots=True)
class Job(Generic[_Config]):
    """A job on one ingestion.

    Attributes:
        name: Of Dagster's job.
        description: For its page.
        config: Its config; the field ``ingestion`` is a choice.
        work: Does it, and gives what the command line gets.
    """

    name: str
    description: str
    config: type[_Config]
    work: Callable[[JobRun, _Config], Any]


def build_job(job: Job[Any], specs: SpecSet, ingestions: Collection[str]) -> dg.JobDefinition:
    """Build Dagster's job.

    Args:
        job: What it does.
        specs: All specs.
        ingestions: Names that the Launchpad offers; empty for any text.
    """
    name = specs.mount.named(job.name)

    @dg.op(
        name=op_name(name),
        # For the command line, which has it in memory; Dagster need not keep it.
        out=dg.Out(io_manager_key=specs.mount.named(NO_IO_MANAGER)),
        config_schema=config_fields(job.config, ingestions),
        required_resource_keys=run_resource_keys(specs.mount),
    )
    def op(context: dg.OpExecutionContext) -> Any:
        config = job.config(**context.op_config)
        resources = resources_of(context.resources, specs.mount)
        with opened(specs, config.ingestion, resources) as ingestion:
            pages = Pages(context.instance, ingestion, asset_key(ingestion.loaded))
            return job.work(JobRun(ingestion, pages, context), config)

    # Its one op needs no process of its own, whatever the executor of the project is.
    @dg.job(name=name, description=job.description, executor_def=dg.in_process_executor)
    def built() -> None:
        op()

    return built


@contextmanager
def opened(specs: SpecSet, name: str, resources: MountResources) -> Iterator[Ingestion]:
    """The ingestion of a name; an error of ours fails the run with its own words."""
    with struck_errors(), failing_in_words(metadata={INGESTION_TAG: name}):
        loaded = spec_or_orphan(specs, name, resources.processed_files.store)
        if isinstance(loaded, Orphan):
            raise SpecGone(str(loaded), loaded.advice)
        ingestion = open_ingestion(loaded, specs.connections, resources, steady=True)
        try:
            yield ingestion
        finally:
            ingestion.store.close()
