"""Files in a folder that this machine and the Spark server both see, local or mounted."""

import errno
import io
import os
import stat
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta, timezone
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import IO

from autoloader_dagster.errors import (
    FileChanged,
    SourceAccessDenied,
    SourceError,
    SourceNotFound,
    SourceUnavailable,
)
from autoloader_dagster.settings import READ_NAMES_AS_UTF8, misread
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.stream import open_stream
from autoloader_dagster.specs.tenants import Fence, is_below

_PAGE_FILES = 1_000
_STAT_THREADS = 16
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Times that exist in every time zone.
_FIRST = datetime(2, 1, 1, tzinfo=timezone.utc)
_LAST = datetime(9998, 12, 31, tzinfo=timezone.utc)
_NOT_UTF8 = " (name is not UTF-8)"
# What the system says of a path that leads nowhere: no such name, a file where a folder was, or a
# link that leads round in a circle, which is as dangling as one to a missing file.
_NOWHERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
# What it says on opening a folder or a socket.
_NO_FILE = frozenset({errno.EISDIR, errno.ENXIO})


class LocalFileSource:
    """A folder with all its sub folders, or one file.

    A symlinked file is listed under the link's name, with the size and time of what it points to.
    A symlinked folder below the root is not entered, for links can form loops and name one file
    twice; the root itself may be a link. Sockets, pipes and devices are not files. What vanishes
    between being seen and being looked at is not listed.

    The version of a file is a digest of its size and its time of change in nanoseconds, so a
    change that restores both is not seen.

    Args:
        root: Absolute path of the folder, or of one file.
        chosen: The spec's filters.
        spec: Name of the spec, for messages.
        fence: Where the files of its tenant may be. What a link makes of a name below the root is
            then listed as unusable, and a root outside is an error.
    """

    read_in_place = True

    def __init__(
        self, root: str, chosen: FileFilter, spec: str, fence: Fence | None = None
    ) -> None:
        # Without '..' and '//', which Spark would remove from the paths that it reports.
        self._root = "/" + os.path.abspath(root).lstrip("/")  # noqa: PTH100  (keeps links)
        # Only a folder may be written with '/' at its end.
        self._is_folder = root.endswith("/")
        self._chosen = chosen
        self._spec = spec
        self._fence = fence
        self._left_out = 0

    @property
    def left_out(self) -> int:
        """Files that the last listing met and the filters did not choose."""
        return self._left_out

    @property
    def lists_by_folder(self) -> bool:
        """Never: Spark asks a local disk for each name as fast."""
        return False

    def list_pages(self) -> Iterator[list[FileRef]]:
        """List in pages of 1,000, folder by folder, sorted by name within each.

        Raises:
            SourceNotFound: The root is not there, or is neither a folder nor a file.
            SourceAccessDenied: No permission to read a folder.
            SourceUnavailable: The file system does not answer.

        A file whose name is not UTF-8, or whose time is of no year that a calendar has, is listed
        with ``unusable``.
        """
        page: list[FileRef] = []
        self._left_out = 0
        for ref in self._list_files():
            page.append(ref)
            if len(page) == _PAGE_FILES:
                yield page
                page = []
        if page:
            yield page

    def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
        """Look at these files again; None for one that is gone or is no regular file any more.

        A path outside of the root has its base name as relative path.

        Raises:
            SourceNotFound: Files are gone because the root is.
            SourceAccessDenied: No permission to look at a file.
            SourceUnavailable: The file system does not answer.
        """
        with ThreadPoolExecutor(_STAT_THREADS, "stat") as threads:
            found = dict(zip(paths, threads.map(self._look_at, paths), strict=True))
        if any(ref is None for path, ref in found.items() if path != self._root):
            self._stat_root()
        return found

    def open(self, ref: FileRef, start: int = 0, length: int | None = None) -> IO[bytes]:
        """Open a byte range of the file if it still has the listed size and time.

        A writer that changes the file while it is read is not noticed here; ``stat`` tells.

        Args:
            ref: The listed version.
            start: First byte; a negative one counts from the end.
            length: Bytes at most; None for all up to the end.

        Raises:
            FileChanged: The file is gone or is not the listed version any more.
            SourceAccessDenied: No permission to read the file.
            SourceUnavailable: The file system does not answer.
        """
        with ExitStack() as on_error:
            try:
                self._check_encoding(ref.path)
                if self._why_outside(ref.path):
                    raise self._changed(ref, "gave way to a link")
                file = on_error.enter_context(io.FileIO(ref.path, opener=self._open_at_once))
                status = os.fstat(file.fileno())
            except OSError as error:
                if error.errno in _NOWHERE:
                    raise self._changed(ref, "is gone") from error
                if error.errno in _NO_FILE:
                    raise self._changed(ref, "gave way to something that is no file") from error
                raise self._failure(ref.path, error) from error
            if not stat.S_ISREG(status.st_mode) or _version(status) != ref.version:
                raise self._changed(ref, "was replaced or changed")
            first = max(ref.size + start, 0) if start < 0 else min(start, ref.size)
            file.seek(first)
            on_error.pop_all()
        rest = ref.size - first
        return open_stream(
            file,
            rest if length is None else min(length, rest),
            telling=partial(self._telling, ref.path),
            cut_short=self._changed(ref, "was cut short"),
        )

    def spark_path(self, ref: FileRef) -> str:
        """``file:///…`` with the raw characters of the path."""
        return f"file://{ref.path}"

    def spark_options(self) -> dict[str, str]:
        """Nothing: Spark reads what its own user may read."""
        return {}

    def _list_files(self) -> Iterator[FileRef]:
        root = self._stat_root()
        if stat.S_ISREG(root.st_mode) and not self._is_folder:
            name = Path(self._root).name
            if self._chosen.accepts(name) and self._is_young_enough(root):
                yield self._ref(self._root, name, root)
            else:
                self._left_out += 1
            return
        if not stat.S_ISDIR(root.st_mode):
            raise SourceNotFound(
                f"{self._root} of spec '{self._spec}' is not a folder",
                "source.url takes a folder, or one regular file written without '/' at its end.",
            )
        # What is still to be walked, the next one last: a walk by recursion would end at a depth
        # of a thousand.
        folders = self._first_folders()
        while folders:
            folder = folders.pop()
            names, sub_folders = self._scan(folder)
            for name in names:
                path = self._absolute(folder + name)
                status = self._stat_file(path)
                if status and self._is_young_enough(status):
                    yield self._ref(path, folder + name, status)
                elif status:
                    self._left_out += 1
            folders.extend(f"{folder}{name}/" for name in reversed(sub_folders))

    def _first_folders(self) -> list[str]:
        """Where the includes begin; nothing if that is not there or is reached through a link."""
        at = ""
        for part in self._chosen.prefix.split("/")[:-1]:
            path = self._absolute(at + part)
            self._check_encoding(path)
            try:
                status = os.lstat(path)
            except OSError as error:
                if error.errno in _NOWHERE:
                    return []
                raise self._failure(path, error) from error
            if not stat.S_ISDIR(status.st_mode) or self._chosen.prunes(at + part):
                return []
            at += f"{part}/"
        return [at]

    def _scan(self, folder: str) -> tuple[list[str], list[str]]:
        """Names of the files (chosen by the globs) and the sub folders in this folder, sorted."""
        names: list[str] = []
        sub_folders: list[str] = []
        path = self._absolute(folder)
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    # Also one that the filters leave out: they would see another name.
                    self._check_encoding(entry.name)
                    relative_path = folder + entry.name
                    if entry.is_dir(follow_symlinks=False):
                        if not self._chosen.prunes(relative_path):
                            sub_folders.append(entry.name)
                    elif self._chosen.accepts(relative_path):
                        names.append(entry.name)
                    elif entry.is_file(follow_symlinks=False):
                        self._left_out += 1
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise self._failure(path, error) from error
            # A folder that was removed meanwhile is like a file that was; a root that was, is not.
            self._stat_root()
            return [], []
        names.sort()
        sub_folders.sort()
        return names, sub_folders

    def _look_at(self, path: str) -> FileRef | None:
        self._check_encoding(path)
        status = self._stat_file(path)
        if status is None:
            return None
        below = path.removeprefix(self._absolute(""))
        return self._ref(path, below if below != path else Path(path).name, status)

    def _stat_file(self, path: str) -> os.stat_result | None:
        """What the path leads to, if that is a regular file; of a link outside the link itself."""
        outside = self._why_outside(path)
        try:
            status = os.stat(path)  # noqa: PTH116  (a Path for each costs more than the call)
        except OSError as error:
            if error.errno in _NOWHERE:
                return None
            if not outside:
                raise self._failure(path, error) from error
            return os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return None
        return os.lstat(path) if outside else status

    def _why_outside(self, path: str) -> str | None:
        """The reason why the file's tenant must not read it; None if the tenant may."""
        fence = self._fence
        if fence is None:
            return None
        real = os.path.realpath(path)
        expected = os.path.realpath(self._root) + path.removeprefix(self._root)
        if real != expected and not fence.follow_links:
            return (
                f"it is a link, and links in the folders of tenant '{fence.tenant}' are not "
                "followed; put the file itself there"
            )
        if not is_below(real, fence.folders):
            return f"it leads to {_printable(real)}, out of the folders of tenant '{fence.tenant}'"
        return None

    def _open_at_once(self, path: str, flags: int) -> int:
        """Open without waiting: a pipe that took the file's place would block for ever."""
        links = self._fence is None or self._fence.follow_links
        return os.open(path, flags | os.O_NONBLOCK | (0 if links else os.O_NOFOLLOW))

    def _stat_root(self) -> os.stat_result:
        self._check_encoding(self._root)
        if self._fence is not None and not is_below(self._root, self._fence.folders):
            raise SourceAccessDenied(
                f"folder {self._root} of spec '{self._spec}' leads to "
                f"{os.path.realpath(self._root)}, out of the folders of tenant "
                f"'{self._fence.tenant}'",
                "Correct source.url, or have the operator allow the folder in _tenant.yaml.",
            )
        try:
            return Path(self._root).stat()
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise self._failure(self._root, error) from error
            raise SourceNotFound(
                f"folder {self._root} of spec '{self._spec}' does not exist",
                "Create it, mount it, or correct source.url; a relative url is relative to the "
                "folder of the spec file.",
            ) from error

    def _check_encoding(self, name: str) -> None:
        """Refuse a name that this process reads in another way than others do.

        Under its other name the file would be loaded once more, or be taken for one that is gone.
        """
        if why := misread(name):
            raise SourceUnavailable(
                f"{_printable(name)} of spec '{self._spec}' cannot be read: {why}",
                READ_NAMES_AS_UTF8,
            )

    def _absolute(self, relative_path: str) -> str:
        return f"{self._root.rstrip('/')}/{relative_path}"

    def _is_young_enough(self, status: os.stat_result) -> bool:
        return self._chosen.accepts_time(self._modified_at(status))

    def _ref(self, path: str, relative_path: str, status: os.stat_result) -> FileRef:
        unusable = None
        try:
            path.encode()
        except UnicodeEncodeError:
            path, relative_path = (
                f"{_printable(each)}{_NOT_UTF8}" for each in (path, relative_path)
            )
            unusable = "its name is not UTF-8; rename it, or leave it out with source.exclude"
        outside = self._why_outside(path) if unusable is None else None
        unusable = outside or unusable
        modified_at = self._modified_at(status)
        if not _FIRST <= modified_at <= _LAST:
            unusable = (
                "it was changed before the year 2 or after the year 9998 by its own time; give it "
                "a real time with 'touch', or leave it out with source.exclude"
            )
        size, version = status.st_size, _version(status)
        return FileRef(path, relative_path, size, modified_at, version, unusable=unusable)

    def _modified_at(self, status: os.stat_result) -> datetime:
        try:
            return _EPOCH + timedelta(microseconds=status.st_mtime_ns // 1_000)
        except OverflowError:
            edge = datetime.max if status.st_mtime_ns > 0 else datetime.min
            return edge.replace(tzinfo=timezone.utc)

    def _changed(self, ref: FileRef, how: str) -> FileChanged:
        return FileChanged(f"file {ref.path} of spec '{self._spec}' {how} since it was listed")

    @contextmanager
    def _telling(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._failure(path, error) from error

    def _failure(self, path: str, error: OSError) -> SourceError:
        what = f"{_printable(path)} of spec '{self._spec}' cannot be read: {error.strerror}"
        if isinstance(error, PermissionError):
            return SourceAccessDenied(
                what,
                "Let the user that Dagster runs as read it, or leave it out with source.exclude "
                "(a folder as 'name/**').",
            )
        return SourceUnavailable(what, "See whether the disk or the mount is well.")


def _version(status: os.stat_result) -> str:
    return blake2b(f"{status.st_size}:{status.st_mtime_ns}".encode(), digest_size=8).hexdigest()


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()
