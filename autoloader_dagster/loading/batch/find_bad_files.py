"""After a write that failed: which files have caused it, if any.

An error that names a file is confirmed by reading that file alone. One that names none is found by
halving. Once several have been found, all files are read in small groups and those of a group that
fails one by one, so that any number of bad files leaves in a bounded number of reads. An error that
speaks of the store, the disk or a missing file is the environment's, unless another file can be
read, because the look has just seen each of them. If none has caused it, the batch goes on with
half of its files, because all together may have.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

from autoloader_dagster.formats.base import Readable
from autoloader_dagster.iceberg.lineage import spark_uri
from autoloader_dagster.spark.errors import NAMED_FILE, is_environment, is_not_found, short
from autoloader_dagster.spark.session import translate

# Halving a batch of ten thousand with one bad file takes fourteen reads, and each costs what is
# left of the batch; so the search is bounded, and what it did not find waits for the next run.
_MAX_READS = 40
# From this many bad files on, all of a batch are read rather than one more found by each write.
_SCAN_FROM = 3
_GROUPS, _LEAST_IN_A_GROUP, _SCAN_THREADS = 64, 16, 4
# Single files that tell whether the environment fails with every file.
_TELLING = 4

TryRead = Callable[[Sequence[Readable]], object]


def find_unreadable(
    error: Exception, readable: Sequence[Readable], try_read: TryRead, found_before: int = 0
) -> dict[str, str]:
    """The files that cannot be read, with the reason; empty if no file has caused it.

    Args:
        error: What the write failed with.
        readable: The batch's files.
        try_read: Reads some of them to the end and raises if that fails.
        found_before: How many files of this batch have caused earlier errors.

    Raises:
        SparkUnavailable: The server went away meanwhile, so nothing was found out.
    """
    if found_before >= _SCAN_FROM:
        return _scan(error, readable, try_read)
    named = _named_file(error, readable)
    if named is not None:
        alone = _failure(try_read, [named])
        if alone is not None and _is_its_own_fault(named, alone, readable, try_read):
            return {named.file.path: short(alone)}
    return _halve(list(readable), try_read)


def may_come_with_every_file(error: BaseException) -> bool:
    """Whether the environment has caused an error, if it comes with every file."""
    return is_environment(error) or is_not_found(error)


def _is_its_own_fault(
    named: Readable, alone: Exception, readable: Sequence[Readable], try_read: TryRead
) -> bool:
    if not may_come_with_every_file(alone):
        return True
    others = [r for r in readable if r is not named]
    return bool(others) and _failure(try_read, [min(others, key=_size)]) is None


def _size(item: Readable) -> int:
    return item.look.ref.size


def _named_file(error: Exception, readable: Sequence[Readable]) -> Readable | None:
    match = NAMED_FILE.search(str(error))
    if not match:
        return None
    name = unquote(match[1].rstrip("."))
    by_uri = {unquote(spark_uri(r.file.read_from)): r for r in readable}
    by_uri |= {uri.replace("file:/", "file:///", 1): r for uri, r in by_uri.items()}
    return by_uri.get(name)


def _halve(readable: list[Readable], try_read: TryRead) -> dict[str, str]:
    found: dict[str, str] = {}
    todo, reads, good, environment = [readable], 0, 0, False
    while todo and reads < _MAX_READS:
        part = todo.pop()
        failure = _failure(try_read, part)
        reads += 1
        if failure is None:
            good += len(part)
        elif len(part) == 1:
            found[part[0].file.path] = short(failure)
            environment = environment or may_come_with_every_file(failure)
        else:
            middle = len(part) // 2
            todo += [part[middle:], part[:middle]]
    return found if good or not environment else {}


def _scan(error: Exception, readable: Sequence[Readable], try_read: TryRead) -> dict[str, str]:
    """Every file that cannot be read: at most one read a file, and 64 of groups."""
    by_size = sorted(readable, key=_size)
    if may_come_with_every_file(error) and len(by_size) > 1:
        alone = [_failure(try_read, [item]) for item in by_size[:_TELLING]]
        if all(failure is not None and may_come_with_every_file(failure) for failure in alone):
            return {}
    width = max(_LEAST_IN_A_GROUP, -(-len(readable) // _GROUPS))
    groups = [readable[i : i + width] for i in range(0, len(readable), width)]

    def find(group: Sequence[Readable]) -> dict[str, str]:
        if len(group) > 1 and _failure(try_read, group) is None:
            return {}
        failures = ((item, _failure(try_read, [item])) for item in group)
        return {item.file.path: short(failure) for item, failure in failures if failure}

    with ThreadPoolExecutor(_SCAN_THREADS, "find-bad-files") as threads:
        return {path: why for found in threads.map(find, groups) for path, why in found.items()}


def _failure(try_read: TryRead, some: Sequence[Readable]) -> Exception | None:
    try:
        try_read(some)
    except Exception as error:  # what Spark raises here is the finding itself
        gone = translate(error, "the Spark server")
        if gone is not None:
            raise gone from error
        return error
    return None
