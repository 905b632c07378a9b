"""What is special about folders: links, pipes, rights, odd names, and what vanishes."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

import pytest

from autoloader_dagster.errors import (
    FileChanged,
    SourceAccessDenied,
    SourceNotFound,
    SourceUnavailable,
)
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.local.source import LocalFileSource

NOBODY = 65534


def source_at(root: Path | str, **filters: object) -> LocalFileSource:
    return LocalFileSource(str(root), FileFilter(**filters), "orders")  # type: ignore[arg-type]


def listed(source: LocalFileSource) -> list[FileRef]:
    return [ref for page in source.list_pages() for ref in page]


def names(source: LocalFileSource) -> list[str]:
    return [ref.relative_path for ref in listed(source)]


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A folder that another user may enter, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder).resolve()
        path.chmod(0o755)
        yield path


@contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may read everything, so what is forbidden is tested as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_order_is_by_name_within_each_folder_and_the_same_each_time(tmp_path: Path) -> None:
    for path in ("b/2", "b/1", "a/z", "c", "a/y/1", "B"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert names(source_at(tmp_path)) == ["B", "c", "a/z", "a/y/1", "b/1", "b/2"]


def test_the_time_has_microseconds_and_the_version_nanoseconds(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.touch()
    seconds = int(datetime(2026, 3, 1, 12, tzinfo=timezone.utc).timestamp())
    os.utime(file, ns=(0, seconds * 10**9 + 123_456_789))
    (ref,) = listed(source_at(tmp_path))
    assert ref.modified_at == datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
    assert len(ref.version) == 16
    os.utime(file, ns=(0, seconds * 10**9 + 123_456_790))
    (later,) = listed(source_at(tmp_path))
    assert later.modified_at == ref.modified_at
    assert later.version != ref.version


def test_a_time_before_1970_is_a_time(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    os.utime(tmp_path / "a", (-1, -1))
    (ref,) = listed(source_at(tmp_path))
    assert ref.modified_at == datetime(1969, 12, 31, 23, 59, 59, tzinfo=timezone.utc)


def test_a_time_of_no_year_is_listed_as_unusable(tmp_path: Path) -> None:
    # Few file systems can hold such a time, so it is given to the source by hand.
    source = source_at(tmp_path)
    (tmp_path / "a").touch()
    fields = list((tmp_path / "a").stat())
    for seconds in (253_402_300_800, -62_135_596_801, -62_135_596_000):
        late = os.stat_result(fields, {"st_mtime_ns": seconds * 10**9})
        ref = source._ref(f"{tmp_path}/a", "a", late)
        assert "give it a real time" in (ref.unusable or "")


def test_a_linked_file_is_listed_under_the_link_s_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "target").write_bytes(b"12345")
    (tmp_path / "in/link.csv").symlink_to(tmp_path / "target")
    (ref,) = listed(source_at(tmp_path / "in"))
    assert (ref.relative_path, ref.size) == ("link.csv", 5)
    assert source_at(tmp_path / "in").open(ref).read() == b"12345"


def test_linked_folders_are_not_entered_and_loops_end(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    (tmp_path / "in/sub/a").touch()
    (tmp_path / "in/loop").symlink_to(tmp_path / "in")
    (tmp_path / "in/sub/up").symlink_to("..")
    assert names(source_at(tmp_path / "in")) == ["sub/a"]
    assert names(source_at(tmp_path / "in", include=["loop/**"])) == []


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").touch()
    (tmp_path / "current").symlink_to("real")
    (ref,) = listed(source_at(tmp_path / "current"))
    assert ref.path == f"{tmp_path}/current/a"


def test_a_path_is_written_in_one_way_only(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for root in (f"{tmp_path}/", f"{tmp_path}/x/..", f"/{tmp_path}//.", f"{tmp_path}"):
        assert [ref.path for ref in listed(source_at(root))] == [f"{tmp_path}/a"]


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").touch()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "sock"))
        source = source_at(tmp_path)
        assert names(source) == ["file"]
        gone = [f"{tmp_path}/{name}" for name in ("pipe", "sock", "dangling", "circle")]
        assert source.stat(gone) == dict.fromkeys(gone)


@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "circle"])
def test_a_file_that_became_something_else_does_not_open(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"abc")
    source = source_at(tmp_path)
    (ref,) = listed(source)
    file.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "pipe":
            os.mkfifo(file)
        elif kind == "socket":
            listener.bind(str(file))
        elif kind == "folder":
            file.mkdir()
        else:
            file.symlink_to("a")
        with pytest.raises(FileChanged, match="since it was listed"):
            source.open(ref)


def test_a_file_that_is_cut_short_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * 2**20)
    source = source_at(tmp_path)
    (ref,) = listed(source)
    with source.open(ref) as stream:
        assert stream.read(10) == b"x" * 10
        os.truncate(file, 100)
        with pytest.raises(FileChanged, match="cut short"):
            stream.read()


def test_a_file_that_grows_while_it_is_read_ends_at_its_listed_size(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * 2**20)
    source = source_at(tmp_path)
    (ref,) = listed(source)
    with source.open(ref) as stream:
        with file.open("ab") as more:
            more.write(b"y" * 2**20)
        assert stream.read() == b"x" * 2**20


def test_a_missing_folder_says_where_and_what_to_do(tmp_path: Path) -> None:
    expected = rf"folder {tmp_path}/none of spec 'orders' does not exist\n  -> Create it, mount it"
    with pytest.raises(SourceNotFound, match=expected):
        listed(source_at(tmp_path / "none"))


def test_a_root_that_is_neither_folder_nor_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    with pytest.raises(SourceNotFound, match=r"pipe of spec 'orders' is not a folder"):
        listed(source_at(tmp_path / "pipe"))
    with pytest.raises(SourceNotFound, match=r"file of spec 'orders' is not a folder"):
        listed(source_at(f"{tmp_path}/file/"))


def test_files_that_are_gone_with_their_root_are_an_error_not_gone(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a").touch()
    source = source_at(tmp_path / "in")
    (ref,) = listed(source)
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(SourceNotFound, match="does not exist"):
        source.stat([ref.path])


def test_what_vanishes_during_the_listing_is_left_out(tmp_path: Path) -> None:
    for number in range(1_003):
        (tmp_path / f"{number:04d}").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/a").touch()
    (tmp_path / "turned").mkdir()
    pages = source_at(tmp_path).list_pages()
    assert len(next(pages)) == 1_000
    (tmp_path / "1001").unlink()
    shutil.rmtree(tmp_path / "sub")
    (tmp_path / "turned").rmdir()
    (tmp_path / "turned").touch()
    assert [ref.relative_path for page in pages for ref in page] == ["1000", "1002"]


def test_a_root_that_vanishes_during_the_listing_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "in/sub").mkdir(parents=True)
    for number in range(1_000):
        (tmp_path / f"in/{number}").touch()
    pages = source_at(tmp_path / "in").list_pages()
    next(pages)
    shutil.rmtree(tmp_path / "in")
    with pytest.raises(SourceNotFound, match="does not exist"):
        list(pages)


@pytest.fixture
def deep_path(tmp_path: Path) -> Iterator[Path]:
    """A folder for deep trees, which Python's own clean-up would fail to remove."""
    path = tmp_path / "deep"
    path.mkdir()
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True, timeout=60)


def test_folders_may_be_nested_deeper_than_python_recurses(deep_path: Path) -> None:
    depth = 1_500
    # Made from within: the whole path would be too long for one call of some systems.
    handle = os.open(deep_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=handle)
        deeper = os.open("d", os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = deeper
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)
    assert names(source_at(deep_path)) == ["d/" * depth + "leaf"]


def test_a_path_that_is_too_long_for_the_system_is_an_error(tmp_path: Path) -> None:
    source = source_at(tmp_path)
    with pytest.raises(SourceUnavailable, match=r"of spec 'orders' cannot be read: File name too"):
        source.stat([f"{tmp_path}/{'x' * 5_000}"])


def test_a_name_that_is_not_utf8_is_listed_as_unusable_beside_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")).touch()
    good, bad = listed(source_at(tmp_path))
    assert (good.relative_path, good.unusable) == ("a.csv", None)
    assert bad.relative_path == r"caf\udce9.csv (name is not UTF-8)"
    assert "rename it" in (bad.unusable or "")
    assert names(source_at(tmp_path, exclude=["caf*"])) == ["a.csv"]


# Each way in which a process meets a file's name, and what it says about it.
_NAMES = r"""
import sys
from pathlib import Path
from autoloader_dagster.errors import AutoloaderError
from autoloader_dagster.settings import load_settings
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.local.source import LocalFileSource

root = sys.argv[1]
def source(root, **filters):
    return LocalFileSource(root, FileFilter(**filters), "orders")
def listed(source):
    return [ref.relative_path for page in source.list_pages() for ref in page]
name = f"{root}/odd/\u00e4.csv"
[ref] = next(source(f"{root}/plain").list_pages())
other = FileRef(name, "\u00e4.csv", ref.size, ref.modified_at, ref.version)
for call in (
    lambda: listed(source(f"{root}/plain")),
    lambda: listed(source(f"{root}/odd")),
    lambda: listed(source(f"{root}/odd", exclude=["*"])),
    lambda: listed(source(f"{root}/plain", include=["\u00fc/*.csv"])),
    lambda: listed(source(f"{root}/\u00fc")),
    lambda: source(f"{root}/odd").stat([name]),
    lambda: source(f"{root}/odd").open(other),
    lambda: load_settings({"AUTOLOADER_HOME": f"{root}/\u00fc"}),
    lambda: load_settings({"AUTOLOADER_WAREHOUSE": f"{root}/\u00fc"}),
):
    try:
        print(ascii(call()))
    except AutoloaderError as error:
        print(type(error).__name__, ascii(str(error)))
"""


@pytest.mark.skipif(sys.platform == "darwin", reason="names of files are UTF-8 there always")
def test_a_process_whose_locale_is_not_utf8_refuses_names_that_it_would_misread(
    tmp_path: Path,
) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "odd").mkdir()
    (tmp_path / "plain" / "a.csv").touch()
    (tmp_path / "odd" / "\u00e4.csv").touch()
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command = [sys.executable, "-c", _NAMES, str(tmp_path)]
    done = subprocess.run(
        command, env={**os.environ, **locale}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    plain, *others = done.stdout.splitlines()
    assert plain == "['a.csv']"
    assert [each.split()[0] for each in others] == ["SourceUnavailable"] * 6 + ["UsageError"] * 2
    assert all("read names of files as ascii" in each for each in others), others
    assert all("PYTHONUTF8=1" in each for each in others), others


def test_a_folder_that_may_not_be_read_is_an_error_unless_it_is_left_out(public_path: Path) -> None:
    (public_path / "a.csv").touch()
    (public_path / "lost+found").mkdir(mode=0o000)
    with as_ordinary_user():
        expected = r"lost\+found/ of spec 'orders' cannot be read: Permission denied\n.*exclude"
        with pytest.raises(SourceAccessDenied, match=expected):
            listed(source_at(public_path))
        assert names(source_at(public_path, exclude=["lost+found/**"])) == ["a.csv"]
        assert names(source_at(public_path, include=["*.csv"], exclude=["*/**"])) == ["a.csv"]


def test_a_file_that_may_not_be_read_is_listed_and_does_not_open(public_path: Path) -> None:
    (public_path / "a").write_bytes(b"x")
    (public_path / "a").chmod(0o000)
    with as_ordinary_user():
        source = source_at(public_path)
        (ref,) = listed(source)
        with pytest.raises(SourceAccessDenied, match=r"a of spec 'orders' cannot be read: Perm"):
            source.open(ref)


def test_what_lies_behind_a_closed_folder_is_an_error_not_gone(public_path: Path) -> None:
    (public_path / "in").mkdir()
    (public_path / "in/x").mkdir()
    (public_path / "in/x/a").touch()
    source = source_at(public_path / "in", include=["x/*"])
    (ref,) = listed(source)
    (public_path / "in").chmod(0o000)
    with as_ordinary_user():
        with pytest.raises(SourceAccessDenied):
            source.stat([ref.path])
        with pytest.raises(SourceAccessDenied):
            listed(source)
    (public_path / "in").chmod(0o755)
    public_path.chmod(0o000)
    with as_ordinary_user(), pytest.raises(SourceAccessDenied):
        listed(source)


def test_spark_needs_no_options(tmp_path: Path) -> None:
    assert source_at(tmp_path).spark_options() == {}
