"""Files dropped into folders and buckets become Iceberg tables in Dagster, each file exactly once.

These names are for other projects. All else may change with any version.

- ``IngestionSpecsComponent`` mounts a folder of specs in a Dagster project.
- ``build_definitions`` does the same in Python.
- ``load_specs`` reads a folder of specs, the broken ones with their faults.
- ``run`` loads what waits for one spec, as a run of Dagster in this process.
- ``open_ingestion`` gives the source and the state of one spec, without Dagster.
- Every error that is raised on purpose is an ``AutoloaderError``.

Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autoloader_dagster.errors import (
    AutoloaderError,
    CommitUnknown,
    FileChanged,
    FilesInUse,
    FolderShared,
    LeaseLost,
    LoadError,
    MainMoved,
    NotAsLoaded,
    NotLoaded,
    PublishConflict,
    RunFailed,
    SourceAccessDenied,
    SourceError,
    SourceNotFound,
    SourceUnavailable,
    SparkBroken,
    SparkError,
    SparkSetupError,
    SparkUnavailable,
    SpecError,
    SpecGone,
    SpecNotFound,
    SpecsNotReadable,
    StateError,
    TableError,
    TableMoved,
    TableOwned,
    TableUnavailable,
    UsageError,
)

if TYPE_CHECKING:
    from autoloader_dagster.build import build_definitions
    from autoloader_dagster.component import IngestionSpecsComponent
    from autoloader_dagster.library import open_ingestion, run
    from autoloader_dagster.specs.loader import load_specs

__version__ = "0.1.0"

__all__ = [
    "AutoloaderError",
    "CommitUnknown",
    "FileChanged",
    "FilesInUse",
    "FolderShared",
    "IngestionSpecsComponent",
    "LeaseLost",
    "LoadError",
    "MainMoved",
    "NotAsLoaded",
    "NotLoaded",
    "PublishConflict",
    "RunFailed",
    "SourceAccessDenied",
    "SourceError",
    "SourceNotFound",
    "SourceUnavailable",
    "SparkBroken",
    "SparkError",
    "SparkSetupError",
    "SparkUnavailable",
    "SpecError",
    "SpecGone",
    "SpecNotFound",
    "SpecsNotReadable",
    "StateError",
    "TableError",
    "TableMoved",
    "TableOwned",
    "TableUnavailable",
    "UsageError",
    "__version__",
    "build_definitions",
    "load_specs",
    "open_ingestion",
    "run",
]

_MODULES = {
    "IngestionSpecsComponent": "component",
    "build_definitions": "build",
    "load_specs": "specs.loader",
    "open_ingestion": "library",
    "run": "library",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
