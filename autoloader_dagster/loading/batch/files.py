"""The files of one batch: which are still in it, and what became of those that left it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from autoloader_dagster.errors import LoadError
from autoloader_dagster.formats.outcome import Bad
from autoloader_dagster.iceberg.delete import Rows
from autoloader_dagster.loading.ingestion import FileOutcome, Ingestion
from autoloader_dagster.loading.placement import fitting, placer
from autoloader_dagster.sources.base import FileRef, source_kind
from autoloader_dagster.state.records import FILE_CHANGED, FILE_GONE, Batch, ClaimedFile, SetAside


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
        self._here: dict[str, ClaimedFile] = {file.path: file for file in batch.files}
        self._outcomes: dict[str, FileOutcome] = {}

    @property
    def here(self) -> Mapping[str, ClaimedFile]:
        """The files that are still in the batch, by path."""
        return self._here

    @property
    def outcomes(self) -> tuple[FileOutcome, ...]:
        """What became of the files that have left it, and of all once it is recorded."""
        return tuple(self._outcomes.values())

    @property
    def replaces(self) -> bool:
        """Whether other loaded versions of the files go when these come."""
        return self._ingestion.spec.source.on_change == "replace"

    @property
    def to_go(self) -> Rows | None:
        """The rows in the table that must go in the same commit."""
        paths = [path for path, file in self._here.items() if file.replaces]
        if not paths or not self.replaces:
            return None
        if not self._ingestion.spec.table.shared:
            return Rows(of_any_batch=paths)
        # Another ingestion may have loaded the same paths into the table.
        files: dict[str, list[str]] = defaultdict(list)
        for row in self._ingestion.store.files.find(self._ingestion.id, ("SUCCESS",), paths=paths):
            if row.batch_id is not None:
                files[row.batch_id].append(row.file_path)
        return Rows(files) if files else None

    @property
    def over(self) -> bool:
        """Whether there is nothing to be recorded either: a load has its own files to the end."""
        return False

    def refs(self) -> list[FileRef]:
        """The listed versions, as the source needs them."""
        return [
            FileRef(
                path=file.path,
                relative_path=file.path.rpartition("/")[2],
                size=file.size,
                modified_at=file.modified_at,
                version=file.version,
                etag=file.etag,
            )
            for file in self._here.values()
        ]

    def quarantine(self, bad: Mapping[str, Bad]) -> None:
        """Set files aside for good, with the reason."""
        self._leave("QUARANTINED", {path: (b.error_type, b.message) for path, b in bad.items()})

    def fail(self, reasons: Mapping[str, str], error_type: str) -> None:
        """Take files out that are to be tried again later, until their tries are used up."""
        self._leave("FAILED", {path: (error_type, why) for path, why in reasons.items()})

    def skip(self, reasons: Mapping[str, str], error_type: str) -> None:
        """Take files out that are not to be loaded."""
        self._leave("SKIPPED", {path: (error_type, why) for path, why in reasons.items()})

    def give_back(self, paths: Iterable[str]) -> None:
        """Take files out that are as good as before; the load's next batch takes them.

        They are no outcome of this batch, and it is not counted as a try of theirs.
        """
        given = [self._here.pop(path) for path in paths]
        self._ingestion.store.batch_files.set_aside(
            self._batch.batch_id,
            self._batch.owner,
            [SetAside(file.id, "DISCOVERED", None, None, count_retry=False) for file in given],
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
        asked = list(self._here) if paths is None else [p for p in paths if p in self._here]
        now = self._ingestion.source.stat(asked) if asked else {}
        changed: list[FileRef] = []
        gone: list[str] = []
        for path in asked:
            ref = now.get(path)
            if ref is None:
                gone.append(path)
            elif ref.version != self._here[path].version:
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
        section = self._ingestion.spec.source
        holds = source_kind(section).holds
        elsewhere = [path for path in self._here if not holds(section, path)]
        reason = f"it is not below source.url, which is {section.url}"
        self.skip(dict.fromkeys(elsewhere, reason), FILE_GONE)

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
        gone = [path for path in self._here if path not in ours]
        # Catch-up may have recorded an older version that was published late. What the claim said
        # of 'replaces' is older than that, and the rows of that version must go as well.
        self._here.update((path, ours[path]) for path in self._here if path in ours)
        self._forget(gone, "another batch had loaded or undone it, and the state learned it now")
        if gone:
            raise FilesLeft

    def _forget(self, paths: Iterable[str], reason: str) -> None:
        """Files that the state itself has taken out of the batch: another batch had loaded them."""
        for path in paths:
            file = self._here.pop(path)
            self._outcomes[path] = self._outcome(file, "SKIPPED", "AlreadyLoaded", reason)

    def loaded(self, rows: Mapping[str, int], bad_rows: Mapping[str, int]) -> None:
        """The rest is in the table, and recorded."""
        same_content = self._ingestion.store.files.same_content(batch_id=self._batch.batch_id)
        for path, file in self._here.items():
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
        self._set_aside(status, reasons)
        for path, (error_type, why) in reasons.items():
            file = self._here.pop(path)
            self._outcomes[path] = self._outcome(file, status, error_type, why)

    def _set_aside(self, status: str, reasons: Mapping[str, tuple[str, str]]) -> None:
        self._ingestion.store.batch_files.set_aside(
            self._batch.batch_id,
            self._batch.owner,
            [
                SetAside(self._here[path].id, status, error_type, why)  # pyright: ignore[reportArgumentType]
                for path, (error_type, why) in reasons.items()
            ],
            self._ingestion.spec.errors.retries,
        )

    @staticmethod
    def _outcome(file: ClaimedFile, status: str, error_type: str, reason: str) -> FileOutcome:
        return FileOutcome(
            file.path, file.partition_key, status, file.size, error_type=error_type, reason=reason
        )
