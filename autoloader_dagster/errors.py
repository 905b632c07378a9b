"""Every error that this package raises on purpose, in one tree.

    AutoloaderError
    ├── SpecError                 a spec or a connection is wrong; its writer can fix it
    │   ├── SpecsNotReadable      the specs folder is missing or cannot be read (exit code 2)
    │   ├── SpecNotFound          there is no spec of this name
    │   └── SpecGone              there was one, and the state knows what it has loaded
    ├── SourceError               the source cannot be listed or read
    │   ├── SourceNotFound        no such bucket, folder, host
    │   ├── SourceAccessDenied    wrong or missing credentials, or no permission
    │   ├── SourceUnavailable     not reachable now; may go through later
    │   └── FileChanged           the file is not the listed version any more
    ├── StateError                the state database is down, locked, full or of another version
    ├── SparkError                the Spark Connect server
    │   ├── SparkUnavailable      no server, a dead one, or one that does not answer
    │   │   └── SparkBroken       the server answers, and must be restarted before it can work
    │   └── SparkSetupError       Java or a jar is missing, or the server does not start
    ├── TableError                the table or its catalog refuses or cannot be reached
    │   ├── TableUnavailable      out of reach, not permitted, or no room left (exit code 2)
    │   ├── FolderShared          another table has files in the table's folder
    │   ├── CommitUnknown         whether a write was committed is not known; it is tried again
    │   └── PublishConflict       another writer was faster; the batch is tried again
    ├── LoadError                 a batch could not be loaded, and not because of one file
    │   ├── LeaseLost             another worker has taken the batch over; this one stops
    │   ├── NotLoaded             there is nothing of these files to undo or to load again
    │   ├── NotAsLoaded           the rows in the table are not those that were loaded
    │   ├── TableMoved            the spec names another table than the one that has its files
    │   ├── FilesInUse            another undo or reload is at work on the same files
    │   └── RunFailed             a run failed, and has the exit code of its error
    ├── UsageError                the command or the environment is wrong (exit code 2)
    └── InjectedFault             a test has armed a failpoint, and it was reached

A message says what failed, on which spec and file, what was expected and what to do next. It never
holds a secret that this process has read.
"""

from autoloader_dagster.redaction import strike


class AutoloaderError(Exception):
    """Root of the tree.

    Attributes:
        what: What failed, with the spec, file or address it failed on.
        hint: What to do next; empty where the message already says it.

    Example:
        >>> from autoloader_dagster import SpecNotFound, load_specs
        >>> try:
        ...     load_specs("ingestion_specs").get("order")
        ... except SpecNotFound as error:
        ...     error.what, error.hint
        ("there is no spec 'order'; did you mean 'orders'?", 'The specs are orders.')
    """

    def __init__(self, what: str, hint: str = "") -> None:
        self.what = strike(what)
        self.hint = strike(hint)
        super().__init__(in_words(self.what, self.hint))


class SpecError(AutoloaderError):
    """A spec or a connection is wrong."""


class SpecsNotReadable(SpecError):
    """The specs folder itself is missing, is no folder or cannot be read."""


class SpecNotFound(SpecError):
    """There is no spec of this name."""


class SpecGone(SpecError):
    """The spec was removed, or has another name now."""


class SourceError(AutoloaderError):
    """The source cannot be listed or read."""


class SourceNotFound(SourceError):
    """There is no such bucket, folder or host."""


class SourceAccessDenied(SourceError):
    """The credentials are missing or wrong, or do not permit this."""


class SourceUnavailable(SourceError):
    """The source does not answer now."""


class FileChanged(SourceError):
    """The file was replaced, changed or deleted after it was listed."""


class StateError(AutoloaderError):
    """The state database is down, locked, full or of another version."""


class SparkError(AutoloaderError):
    """Something is wrong with the Spark Connect server."""


class SparkUnavailable(SparkError):
    """There is no server at the address, or it does not answer."""


class SparkBroken(SparkUnavailable):
    """The server answers, but its Java process is damaged: every further write fails."""


class SparkSetupError(SparkError):
    """The embedded server cannot be set up or started."""


class TableError(AutoloaderError):
    """The table or its catalog refuses."""


class TableUnavailable(TableError):
    """The catalog or the warehouse is out of reach, full, or cannot be written."""


class FolderShared(TableError):
    """Another table of the catalog has files in the table's folder, or may have."""


class CommitUnknown(TableError):
    """The answer to a write was lost, so nobody knows whether it was committed."""


class PublishConflict(TableError):
    """Another writer of the table was faster, so the batch is written again on what it left."""


class MainMoved(PublishConflict):
    """Main has moved since it was read, so the state must not be changed by what was read."""


class LoadError(AutoloaderError):
    """A batch could not be loaded, because of something that is not one file."""


class LeaseLost(LoadError):
    """Another worker has taken the batch over."""


class NotLoaded(LoadError):
    """The files, the batch or the partition that were asked for are not loaded."""


class NotAsLoaded(LoadError):
    """Rows of the files were changed, deleted or added in the table since they were loaded."""


class TableOwned(LoadError):
    """Another ingestion has loaded the table, which is not shared."""


class TableMoved(LoadError):
    """The spec names another table than the one that has the rows of its loaded files."""


class FilesInUse(LoadError):
    """Another undo or reload is at work on the same files."""


class RunFailed(LoadError):
    """A run failed, here or in another process.

    Attributes:
        exit_code: That of the error which ended the run.
    """

    def __init__(self, what: str, hint: str, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__(what, hint)


class UsageError(AutoloaderError):
    """The command or the environment is wrong."""


class InjectedFault(AutoloaderError):
    """A test has armed a failpoint, and it was reached."""


_ENVIRONMENT = (
    UsageError,
    SpecsNotReadable,
    SourceAccessDenied,
    SourceUnavailable,
    StateError,
    SparkError,
    TableUnavailable,
)


def exit_code(error: BaseException) -> int:
    """2 if the usage or the environment is the cause, 1 if the data or a spec is."""
    if isinstance(error, RunFailed):
        return error.exit_code
    if isinstance(error, _ENVIRONMENT) or not isinstance(error, AutoloaderError):
        return 2
    return 1


def in_words(what: str, hint: str) -> str:
    """What failed and what to do next, as one text for people."""
    return f"{what}\n  -> {hint}" if hint else what
