"""The same work on many files: in threads where files are waited for, else one after the other.

Python computes in one thread at a time. Files that are at hand are looked at as fast as they can be
computed on, and threads would only hand the interpreter to and fro: 2,000 files of 12 KB take a
second in 16 threads and a third of that in one. Files that come over a network are waited for.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from autoloader_dagster.sources.base import FileRef

T = TypeVar("T")

# Reading and searching a large piece leaves the interpreter to other threads meanwhile.
_SMALL_FILE_BYTES = 2**20
# The first part is kept short, because it is not known yet what waiting it will cost.
_FIRST_PART, _PART = 2, 32
_WAITING_A_THREAD = 4


def each(work: Callable[[FileRef], T], refs: Sequence[FileRef], threads: int) -> Iterator[T]:
    """The results in the order of ``refs``.

    Args:
        work: Is given one file.
        refs: The files.
        threads: Files that are worked on at the same time where they are waited for.
    """
    done = 0
    small = sum(ref.size for ref in refs) < _SMALL_FILE_BYTES * len(refs)
    while small and done < len(refs):
        part = refs[done : done + (_PART if done else _FIRST_PART)]
        began, computed = time.perf_counter(), time.thread_time()
        results = [work(ref) for ref in part]
        took, computed = time.perf_counter() - began, time.thread_time() - computed
        done += len(part)
        yield from results
        small = computed > took / 2
    if done < len(refs):
        yield from _in_threads(work, refs[done:], threads)


def _in_threads(work: Callable[[FileRef], T], refs: Sequence[FileRef], threads: int) -> Iterator[T]:
    """Only so many files are taken up before the first result is fetched."""
    rest = iter(refs)
    pool = ThreadPoolExecutor(min(threads, len(refs)), "look")
    try:
        waiting: deque[Future[T]] = deque(
            pool.submit(work, ref) for ref in islice(rest, threads * _WAITING_A_THREAD)
        )
        while waiting:
            result = waiting.popleft().result()
            for ref in islice(rest, 1):
                waiting.append(pool.submit(work, ref))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
