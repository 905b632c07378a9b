"""Runs work in threads that are given up when they make no progress, one at a time for each name.

A thread that waits for a dead connection or a stuck mount cannot be ended. It is given up: nobody
waits for it any more, and the same work begins again beside it. The number of such threads is
bounded for each name, because each keeps its memory and its connections.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

_MOST_GIVEN_UP = 3


@dataclass(eq=False)
class Work:
    """Work in its thread.

    Attributes:
        ended: Set once the thread has ended.
        given_up: Whether nobody waits for it any more, and its result does not count.
        error: The error that ended it.
        began: When, by the monotonic clock.
    """

    ended: threading.Event = field(default_factory=threading.Event, init=False)
    given_up: bool = field(default=False, init=False)
    error: BaseException | None = field(default=None, init=False)
    began: float = field(default_factory=time.monotonic, init=False)
    _seen: object = field(default=None, init=False)
    _moved: float = field(default_factory=time.monotonic, init=False)

    def progress(self) -> object:
        """A value that changes while the work goes on; by default it never does."""
        return None

    def made_no_progress_for(self, seconds: float) -> bool:
        """Whether those who asked have seen no progress for so long."""
        now, progress = time.monotonic(), self.progress()
        if progress != self._seen:
            self._seen, self._moved = progress, now
        return now - self._moved >= seconds

    def end(self, name: str) -> None:
        """Called with the lock held when the thread of this name ends."""


W = TypeVar("W", bound=Work)


class Background(Generic[W]):
    """The threads of one kind of work.

    Args:
        kind: What the threads are called.

    Attributes:
        lock: Held by whoever reads or changes what a thread changes too.
    """

    def __init__(self, kind: str) -> None:
        self.lock = threading.RLock()
        self._kind = kind
        self._at_work: dict[str, W] = {}
        self._given_up: dict[str, list[W]] = {}

    def at_work(self, name: str) -> W | None:
        """The work of this name that is under way."""
        with self.lock:
            return self._at_work.get(name)

    def given_up(self, name: str) -> int:
        """How many threads of this name were given up and have not ended."""
        with self.lock:
            return len(self._given_up.get(name, ()))

    def is_full(self, name: str) -> bool:
        """Whether so many were given up that no further one is to begin."""
        return self.given_up(name) >= _MOST_GIVEN_UP

    def begin(self, name: str, work: W, do: Callable[[], None]) -> None:
        """Begin work in a thread of its own; an error ends it and is kept."""
        with self.lock:
            self._at_work[name] = work
        # A daemon, so that what does not answer keeps no process from ending.
        threading.Thread(
            target=self._do, args=(name, work, do), name=f"{self._kind} {name}", daemon=True
        ).start()

    def give_up(self, name: str) -> None:
        """Wait no longer for the work of this name."""
        with self.lock:
            work = self._at_work.pop(name)
            work.given_up = True
            self._given_up.setdefault(name, []).append(work)

    def _do(self, name: str, work: W, do: Callable[[], None]) -> None:
        try:
            do()
        except BaseException as error:
            work.error = error
        finally:
            with self.lock:
                if work.given_up:
                    self._given_up[name].remove(work)
                else:
                    del self._at_work[name]
                work.end(name)
                work.ended.set()
