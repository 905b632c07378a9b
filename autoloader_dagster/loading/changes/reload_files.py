"""The files of a reload: loaded before, and loaded until it is recorded."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.iceberg.delete import Rows
from autoloader_dagster.loading.batch.files import FilesLeft, Members
from autoloader_dagster.loading.ingestion import FileOutcome, Ingestion
from autoloader_dagster.state.records import Batch, BatchFile, FileRow

# Id, batch and rows of each loaded version of a path.
_Loaded = frozenset[tuple[int, BatchId | None, int]]


class ReloadMembers(Members):
    """The files of a reload. One that leaves it keeps its rows and its status.

    Args:
        ingestion: What is loaded again.
        batch: The claimed reload.
        chosen: The loaded versions that it was claimed for, as they were before the claim.
    """

    def __init__(self, ingestion: Ingestion, batch: Batch, chosen: Sequence[FileRow]) -> None:
        super().__init__(ingestion, batch)
        now = self._loaded_now()
        # A file that was undone or loaded again between choice and claim is left out later,
        # because it differs from what is loaded now.
        gone = {
            path: versions
            for path, versions in self._by_path(chosen).items()
            if not versions <= now.get(path, frozenset())
        }
        self._loaded: Mapping[str, _Loaded] = {**now, **gone}

    @property
    def replaces(self) -> bool:
        """Other loaded versions of the paths go; unless they belong into the table beside this."""
        return self._ingestion.spec.source.on_change != "append"

    @property
    def rows_to_delete(self) -> Rows | None:
        """The rows that are loaded of these files, each by the batch that loaded it."""
        files: dict[BatchId, list[str]] = defaultdict(list)
        for path in self._files:
            for _, batch_id, rows in self._loaded.get(path, ()):
                if batch_id is not None and rows:
                    files[batch_id].append(path)
        return Rows(files) if files else None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to do."""
        return not self._files

    def leave_out_what_is_loaded(self) -> None:
        """Leave out the files of which something else is loaded than when the reload began.

        Raises:
            FilesLeft: There were some.
        """
        now = self._loaded_now()
        changed = {
            path: ("LoadedMeanwhile", "it was loaded or undone by another batch meanwhile")
            for path in self._files
            if now.get(path, frozenset()) != self._loaded.get(path, frozenset())
        }
        self._leave("SKIPPED", changed)
        if changed:
            raise FilesLeft

    def _loaded_now(self) -> Mapping[str, _Loaded]:
        rows = self._ingestion.store.files.find(
            self._ingestion.id, ("SUCCESS",), paths=list(self._files)
        )
        return self._by_path(rows)

    def _by_path(self, rows: Iterable[FileRow]) -> Mapping[str, _Loaded]:
        """The versions whose rows this reload puts others in the place of."""
        found: dict[str, set[tuple[int, BatchId | None, int]]] = defaultdict(set)
        for row in rows:
            member = self._files.get(row.file_path)
            if member is not None and (self.replaces or row.id == member.id):
                found[row.file_path].add((row.id, row.batch_id, row.rows or 0))
        return {path: frozenset(loaded) for path, loaded in found.items()}

    def _remove(self, status: str, reasons: Mapping[str, tuple[str, str]]) -> None:
        self._ingestion.store.claims.leave_out(
            self._batch.batch_id, self._batch.owner, [self._files[path].id for path in reasons]
        )

    @staticmethod
    def _outcome(file: BatchFile, status: str, error_type: str, reason: str) -> FileOutcome:
        return FileOutcome(
            file.path,
            file.partition_key,
            "KEPT",
            file.size,
            error_type=error_type,
            reason=f"{reason}; its rows are kept as they were",
        )
