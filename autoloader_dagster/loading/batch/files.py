"""The files of one batch: which are still in it, and what became of those that left it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from autoloader_dagster.batch_ids import BatchId
from autoloader_dagster.errors import LoadError
from autoloader_dagster.formats.outcome import Bad
from autoloader_dagster.iceberg.delete import Rows
from autoloader_dagster.loading.ingestion import FileOutcome, Ingestion
from autoloader_dagster.loading.placement import fitting, placer
from autoloader_dagster.sources.base import FileRef, source_kind
from autoloader_dagster.state.records import (
    FILE_CHANGED,
    FILE_GONE,
    LOADED_ELSEWHERE,
    Batch,
    BatchFile,
    RemovedFile,
)


class FilesLeft(Exception):
    """Some files have left the batch, so this attempt holds rows that must not be published."""


class Members:
    """The files of a batch.

    Args:
        ingestion: What is loaded.
        batch: The claimed batch.
    """

    def __init__(self, ingestion: Ingestion, batch: Batch) -> None:
        self._ingestion = ingestion
        self._batch = batch
        self._files: dict[str, BatchFile] = {file.path: file for file in batch.files}
        self._outcomes: dict[str, FileOutcome] = {}

    @property
    def files(self) -> Mapping[str, BatchFile]:
        """The files that are still in the batch, by path."""
        return self._files

    @property
    def outcomes(self) -> tuple[FileOutcome, ...]:
        """What became of the files that have left it, and of all once it is recorded."""
        return tuple(self._outcomes.values())

    @property
    def replaces(self) -> bool:
        """Whether other loaded versions of the files go when these come."""
        return self._ingestion.spec.source.on_change == "replace"

    @property
    def rows_to_delete(self) -> Rows | None:
        """The rows in the table that must go in the same commit."""
        paths = [path for path, file in self._files.items() if file.replaces]
        if not paths or not self.replaces:
            return None
        if not self._ingestion.spec.table.shared:
            return Rows(of_any_batch=paths)
        # Another ingestion may have loaded the same paths into the table.
        files: dict[BatchId, list[str]] = defaultdict(list)
        for row in self._ingestion.store.files.find(self._ingestion.id, ("SUCCESS",), paths=paths):
            if row.batch_id is not None:
                files[row.batch_id].append(row.file_path)
        return Rows(files) if files else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be recorded either: a load has its own files to the end."""
        return False

    def refs(self) -> list[FileRef]:
        """The listed versions, as the source needs them."""
        return [
            FileRef(
                path=file.path,
                relative_path=self._relative_path(file.path) or file.path,
                size=file.size,
                modified_at=file.modified_at,
                version=file.version,
                etag=file.etag,
            )
            for file in self._files.values()
        ]

    def quarantine(self, bad: Mapping[str, Bad]) -> None:
        """Set files aside for good, with the reason."""
        self._leave("QUARANTINED", {path: (b.error_type, b.message) for path, b in bad.items()})

    def leave_out_bad(self, bad: Mapping[str, Bad]) -> None:
        """Quarantine files that this attempt must do without; without any, do nothing.

        Raises:
            FilesLeft: There were some.
        """
        if not bad:
            return
        # What was found may be of another version than was listed.
        if not self.take_out_changed():
            self.quarantine(bad)
        raise FilesLeft

    def fail(self, reasons: Mapping[str, str], error_type: str) -> None:
        """Take files out that are to be tried again later, until their tries are used up."""
        self._leave("FAILED", {path: (error_type, why) for path, why in reasons.items()})

    def skip(self, reasons: Mapping[str, str], error_type: str) -> None:
        """Take files out that are not to be loaded."""
        self._leave("SKIPPED", {path: (error_type, why) for path, why in reasons.items()})

    def requeue(self, paths: Iterable[str]) -> None:
        """Take files out that are as good as before; the load's next batch takes them.

        They are no outcome of this batch, and it is not counted as a try of theirs.
        """
        given = [self._files.pop(path) for path in paths]
        self._ingestion.store.batch_files.remove(
            self._batch.batch_id,
            self._batch.owner,
            [RemovedFile(file.id, "DISCOVERED", None, None, count_retry=False) for file in given],
            self._ingestion.spec.errors.retries,
        )

    def take_out_changed(self, paths: Sequence[str] | None = None) -> bool:
        """Look at files in the source again; those that are not what was listed leave the batch.

        A deleted file is skipped; a changed one is recorded as a new version, which waits.

        Args:
            paths: Which of the batch's files; default all.

        Returns:
            Whether any left.
        """
        asked = list(self._files) if paths is None else [p for p in paths if p in self._files]
        now = self._ingestion.source.stat(asked) if asked else {}
        changed: list[FileRef] = []
        gone: list[str] = []
        for path in asked:
            ref = now.get(path)
            if ref is None:
                gone.append(path)
            elif ref.version != self._files[path].version:
                changed.append(ref)
        self.skip(dict.fromkeys(gone, "it was deleted before it could be loaded"), FILE_GONE)
        self._leave(
            "DISCOVERED",
            {ref.path: (FILE_CHANGED, "it changed while it was loaded") for ref in changed},
        )
        if changed:
            self._ingestion.store.discovery.discover(
                self._ingestion.id,
                self._ingestion.loaded.tenant,
                [changed],
                placer(self._ingestion.spec),
                self._ingestion.spec.source.on_change,
                fitting(self._ingestion.spec),
            )
        return bool(gone or changed)

    def leave_out_of_other_sources(self) -> None:
        """Skip the files that are not below the url of the source, before any of them is opened.

        They were listed before ``source.url`` was changed, or by another deployment with a spec of
        the same name, because the state knows an ingestion by its name alone.
        """
        elsewhere = [path for path in self._files if self._relative_path(path) is None]
        reason = f"it is not below source.url, which is {self._ingestion.spec.source.url}"
        self.skip(dict.fromkeys(elsewhere, reason), FILE_GONE)

    def leave_out_what_was_loaded_from_elsewhere(self) -> bool:
        """Quarantine files that were loaded under another address of the source, if there are any.

        A folder that is moved or mounted elsewhere takes its files along, and the state knows a
        file by its whole address. So the same file is told by its name and its version, or by the
        time of its last change if the state was lost and has learned it from the table.
        """
        name, url = self._ingestion.spec.name, self._ingestion.spec.source.url
        files = self._files.values()
        found = self._ingestion.store.files.loaded_outside(
            self._ingestion.id,
            f"{url.rstrip('/')}/",
            {file.version for file in files},
            {file.modified_at for file in files},
        )
        loaded = {
            (version, path.rpartition("/")[2]): path
            for path, version in found
            if self._relative_path(path) is None
        }
        twice: dict[str, Bad] = {}
        for path, file in self._files.items():
            own = path.rpartition("/")[2]
            before = loaded.get((file.version, own)) or loaded.get((file.modified_at, own))
            if before is not None:
                twice[path] = Bad(
                    LOADED_ELSEWHERE,
                    f"was loaded from {before} before source.url was changed, and would be in the "
                    f"table twice; leave it out with 'autoloader dismiss {name}', or run "
                    f"'autoloader undo {name}' for {before} and then 'autoloader retry {name}'",
                )
        self.quarantine(twice)
        return bool(twice)

    def _relative_path(self, path: str) -> str | None:
        section = self._ingestion.spec.source
        return source_kind(section).relative_path(section, path)

    def leave_out_what_is_loaded(self) -> None:
        """Take out of the batch what catch-up found in main already, and renew what is left.

        After this the members say what the state holds at the base of the attempt. A version that
        is published later moves main, and then this attempt cannot be published.

        Raises:
            FilesLeft: There was something.
            LoadError: Another worker has settled the batch.
        """
        current = self._ingestion.store.batches.get(self._batch.batch_id)
        if current is None or current.status not in ("CLAIMED", "WRITTEN"):
            raise LoadError(
                f"batch {self._batch.batch_id} was settled by another worker meanwhile",
                "Nothing is lost; 'autoloader status' shows it.",
            )
        ours = {file.path: file for file in current.files}
        gone = [path for path in self._files if path not in ours]
        # Catch-up may have recorded an older version that was published late. What the claim told
        # of 'replaces' is older than that, and the rows of that version must go as well.
        self._files.update((path, ours[path]) for path in self._files if path in ours)
        self._forget(gone, "another batch had loaded or undone it, and the state learned it now")
        if gone:
            raise FilesLeft

    def _forget(self, paths: Iterable[str], reason: str) -> None:
        """Files that the state itself has taken out of the batch: another batch had loaded them."""
        for path in paths:
            file = self._files.pop(path)
            self._outcomes[path] = self._outcome(file, "SKIPPED", "AlreadyLoaded", reason)

    def loaded(self, rows: Mapping[str, int], bad_rows: Mapping[str, int]) -> None:
        """The rest is in the table, and recorded."""
        same_content = self._ingestion.store.files.same_content(batch_id=self._batch.batch_id)
        for path, file in self._files.items():
            self._outcomes[path] = FileOutcome(
                path,
                file.partition_key,
                "SUCCESS",
                file.size,
                rows.get(path, 0),
                bad_rows.get(path, 0),
                same_as=same_content.get(path),
            )

    def _leave(self, status: str, reasons: Mapping[str, tuple[str, str]]) -> None:
        if not reasons:
            return
        self._remove(status, reasons)
        for path, (error_type, why) in reasons.items():
            file = self._files.pop(path)
            self._outcomes[path] = self._outcome(file, status, error_type, why)

    def _remove(self, status: str, reasons: Mapping[str, tuple[str, str]]) -> None:
        self._ingestion.store.batch_files.remove(
            self._batch.batch_id,
            self._batch.owner,
            [
                RemovedFile(self._files[path].id, status, error_type, why)  # pyright: ignore[reportArgumentType]
                for path, (error_type, why) in reasons.items()
            ],
            self._ingestion.spec.errors.retries,
        )

    @staticmethod
    def _outcome(file: BatchFile, status: str, error_type: str, reason: str) -> FileOutcome:
        return FileOutcome(
            file.path, file.partition_key, status, file.size, error_type=error_type, reason=reason
        )
