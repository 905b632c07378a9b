"""Says how far a load is: the files and bytes of all that was waiting when it began."""

from collections.abc import Callable, Iterable

from autoloader_dagster.counts import counted, shown_size
from autoloader_dagster.loading.ingestion import BatchOutcome
from autoloader_dagster.state.records import Batch, PendingPartition

# Told what is done now, in a few words; the one way in which long work shows progress.
Progress = Callable[[str], None]


def no_progress(text: str) -> None:
    """Tell nobody."""


class LoadProgress:
    """Puts counts before each step of a load.

    Args:
        say: Is given each line.
    """

    def __init__(self, say: Progress) -> None:
        self._say = say
        self._files, self._bytes = 0, 0
        self._all_files, self._all_bytes = 0, 0
        self._batch = ""

    def waits(self, pending: Iterable[PendingPartition]) -> None:
        """Note what still waits, before the next batch."""
        rest = list(pending)
        self._all_files = self._files + sum(item.files for item in rest)
        self._all_bytes = self._bytes + sum(item.bytes for item in rest)

    def claimed(self, batch: Batch) -> None:
        """Note the files that the next steps are about."""
        count = len(batch.files)
        self._batch = f"{count:,} file{'s' if count > 1 else ''}: "

    def ended(self, outcome: BatchOutcome) -> None:
        """Note the files that are done with."""
        done = [file for file in outcome.files if file.status != "DISCOVERED"]
        self._files += len(done)
        self._bytes += sum(file.bytes for file in done)
        self._batch = ""

    def __call__(self, step: str) -> None:
        """Say a step."""
        if not self._all_files:
            self._say(step)
            return
        share = f"{shown_size(self._bytes)} of {shown_size(self._all_bytes)}"
        counts = f"{self._files:,} of {counted(self._all_files, 'file')} done, {share}"
        self._say(f"{counts}; {self._batch}{step}")
