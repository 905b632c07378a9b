"""The files of a reload: loaded before, and loaded until it is recorded."""

from collections import defaultdict
from collections.abc import Mapping

from autoloader_dagster.loading.ingestion import FileOutcome, Ingestion
from autoloader_dagster.loading.members import FilesLeft, Members
from autoloader_dagster.processed_files.records import Batch, ClaimedFile
from autoloader_dagster.spark.taking_out import Rows

# Id, batch and rows of each loaded version of a path.
_Loaded = frozenset[tuple[int, str | None, int]]


class ReloadMembers(Members):
    """The files of a reload. One that leaves it keeps its rows and its status.

    Args:
        ingestion: What is loaded again.
        batch: The claimed reload.
    """

    def __init__(self, ingestion: Ingestion, batch: Batch) -> None:
        super().__init__(ingestion, batch)
        self._loaded = self._loaded_now()

    @property
    def replaces(self) -> bool:
        """Other loaded versions of the paths go; unless they belong into the table beside this."""
        return self._ingestion.spec.source.on_change != "append"

    @property
    def to_go(self) -> Rows | None:
        """The rows that are loaded of these files, each by the batch that loaded it."""
        files: dict[str, list[str]] = defaultdict(list)
        for path in self._here:
            for _, batch_id, rows in self._loaded.get(path, ()):
                if batch_id is not None and rows:
                    files[batch_id].append(path)
        return Rows(files) if files else None

    @property
    def over(self) -> bool:
        """Whether nothing is left to do."""
        return not self._here

    def leave_out_what_is_loaded(self) -> None:
        """Leave out the files of which something else is loaded than when the reload began.

        Raises:
            FilesLeft: There were some.
        """
        now = self._loaded_now()
        changed = {
            path: ("LoadedMeanwhile", "it was loaded or undone by another batch meanwhile")
            for path in self._here
            if now.get(path, frozenset()) != self._loaded.get(path, frozenset())
        }
        self._leave("SKIPPED", changed)
        if changed:
            raise FilesLeft

    def _loaded_now(self) -> Mapping[str, _Loaded]:
        found: dict[str, set[tuple[int, str | None, int]]] = defaultdict(set)
        for row in self._ingestion.store.files(
            self._ingestion.id, ("SUCCESS",), paths=list(self._here)
        ):
            if self.replaces or row.id == self._here[row.file_path].id:
                found[row.file_path].add((row.id, row.batch_id, row.records_ingested or 0))
        return {path: frozenset(loaded) for path, loaded in found.items()}

    def _set_aside(self, status: str, reasons: Mapping[str, tuple[str, str]]) -> None:
        self._ingestion.store.leave_out(
            self._batch.batch_id, self._batch.owner, [self._here[path].id for path in reasons]
        )

    @staticmethod
    def _outcome(file: ClaimedFile, status: str, error_type: str, reason: str) -> FileOutcome:
        return FileOutcome(
            file.path,
            file.partition_key,
            "KEPT",
            file.size,
            error_type=error_type,
            reason=f"{reason}; its rows are kept as they were",
        )
