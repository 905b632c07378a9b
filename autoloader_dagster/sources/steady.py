"""Gives up a source that does not answer: a dead connection, or a mount that is stuck.

A call that waits for such a source cannot be ended. It goes on in a thread of its own, which nobody
waits for any more and which ends with the process.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import IO, Generic, TypeVar

from autoloader_dagster.counts import counted
from autoloader_dagster.errors import SourceUnavailable
from autoloader_dagster.sources.base import FileRef, FileSource

T = TypeVar("T")

# A page of a store takes seconds. A listing that makes no progress for so long waits for a
# connection that is dead or a mount that is stuck.
PATIENCE_SECONDS = 600.0
# So few files are looked at within that time, however slow a store is.
_STAT_AT_ONCE = 500


def no_page_came(url: str, listed: int, seconds: float) -> SourceUnavailable:
    """The error of a listing that was given up.

    Args:
        url: What was listed.
        listed: How many files had been listed.
        seconds: How long no page had come.
    """
    return SourceUnavailable(
        f"A listing of {url} was given up after {counted(listed, 'file')}, because no page came "
        f"for {_in_words(seconds)}",
        "Check the store or the mount, the state database, and the network to both.",
    )


@dataclass(frozen=True, slots=True)
class SteadySource:
    """A source whose answers are waited for so long and no longer.

    For commands and jobs, which have a process of their own. A tick gives its listings up itself.

    Attributes:
        source: The source itself.
        url: Its address, for messages.
        patience: How long to wait for a page, or for a look at files.
    """

    source: FileSource
    url: str
    patience: float = PATIENCE_SECONDS

    @property
    def left_out(self) -> int:
        """As the source's."""
        return self.source.left_out

    @property
    def read_in_place(self) -> bool:
        """As the source's."""
        return self.source.read_in_place

    @property
    def lists_by_folder(self) -> bool:
        """As the source's."""
        return self.source.lists_by_folder

    def list_pages(self) -> Iterator[list[FileRef]]:
        """As the source's; ``SourceUnavailable`` if a page takes too long."""
        listed, pages = 0, _InThread(self.source.list_pages)
        try:
            while True:
                # A page that the filters leave empty is not handed on, and is progress too.
                page = pages.next(
                    self.patience,
                    no_page_came(self.url, listed, self.patience),
                    progress=lambda: self.source.left_out,
                )
                if page is None:
                    return
                listed += len(page)
                yield page
        finally:
            pages.end()

    def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
        """As the source's; ``SourceUnavailable`` if it takes too long."""
        error = SourceUnavailable(
            f"A look at {counted(len(paths), 'file')} below {self.url} was given up, because no "
            f"answer came for {_in_words(self.patience)}",
            "Check the store or the mount, and the network to it.",
        )
        parts = [paths[at : at + _STAT_AT_ONCE] for at in range(0, len(paths), _STAT_AT_ONCE)]
        looks = _InThread(lambda: (self.source.stat(part) for part in parts))
        found: dict[str, FileRef | None] = {}
        try:
            for _ in parts:
                found |= looks.next(self.patience, error) or {}
        finally:
            looks.end()
        return found

    def open(self, ref: FileRef, start: int = 0, length: int | None = None) -> IO[bytes]:
        """As the source's."""
        return self.source.open(ref, start, length)

    def spark_path(self, ref: FileRef) -> str:
        """As the source's."""
        return self.source.spark_path(ref)

    def spark_options(self) -> dict[str, str]:
        """As the source's."""
        return self.source.spark_options()


class _InThread(Generic[T]):
    """Takes one item after the other from an iterator, in a thread, each when it is asked for."""

    def __init__(self, begin: Callable[[], Iterator[T]]) -> None:
        self._asked: SimpleQueue[bool] = SimpleQueue()
        self._answers: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()
        # A daemon, so that what does not answer keeps no process from ending.
        threading.Thread(target=self._work, args=(begin,), name="source", daemon=True).start()

    def _work(self, begin: Callable[[], Iterator[T]]) -> None:
        try:
            items = begin()
            while self._asked.get():
                self._answers.put((next(items, None), None))
        except BaseException as error:
            self._answers.put((None, error))

    def next(
        self,
        seconds: float,
        too_late: SourceUnavailable,
        progress: Callable[[], object] = lambda: None,
    ) -> T | None:
        """The next item; None after the last one.

        Args:
            seconds: How long to wait for it, or for progress.
            too_late: What is raised then.
            progress: Another answer than before shows that the work goes on.
        """
        self._asked.put(True)
        seen = progress()
        while True:
            try:
                item, error = self._answers.get(timeout=seconds)
                break
            except Empty:
                now = progress()
                if now == seen:
                    raise too_late from None
                seen = now
        if error is not None:
            raise error
        return item

    def end(self) -> None:
        """End the thread, at once or when what it waits for has come."""
        self._asked.put(False)


def _in_words(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 60 else f"{seconds:.0f} s"
