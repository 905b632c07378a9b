"""Which paths the globs of a spec choose, and where a listing may start."""

import time
from datetime import date, datetime, timedelta, timezone

import pytest

from autoloader_dagster.errors import SpecError
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.local.kind import LocalSource


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("*.csv", "a.csv", True),
        ("*.csv", "x/a.csv", False),
        ("*.csv", "a.CSV", False),
        ("*.csv", "a.csv\n", False),
        ("**", "x/y/a.csv", True),
        ("**/*.csv", "a.csv", True),
        ("**/*.csv", "x/y/a.csv", True),
        ("x/**", "x/y/a", True),
        ("x/**", "xx/a", False),
        ("a?.csv", "ab.csv", True),
        ("a?.csv", "a/.csv", False),
        ("[0-9]*.csv", "7.csv", True),
        ("[!0-9]*.csv", "7.csv", False),
        ("*.{csv,tsv}", "a.tsv", True),
        ("*.{csv,tsv}", "a.json", False),
        ("{1..3}.csv", "2.csv", True),
        (r"\*.csv", "*.csv", True),
        (r"\*.csv", "a.csv", False),
        # Names that begin with '.' or '_' are names like any others.
        ("*", ".hidden", True),
        ("*", "_under", True),
        ("**", ".git/_x", True),
        # Signs that mean something to other globs, and nothing here.
        ("!a.csv", "!a.csv", True),
        ("-a.csv", "-a.csv", True),
        ("~/a.csv", "~/a.csv", True),
        ("@(a|b)", "a", False),
        # Keys of a bucket may hold empty parts and parts that are dots.
        ("**", "x//a.csv", True),
        ("**", "/a.csv", True),
        ("**", "x/../a.csv", True),
        ("**/*.csv", "./a.csv", True),
        ("*/a.csv", "../a.csv", True),
        ("**/*.csv", "Ünï ção/漢字 +%20#.csv", True),
        ("**", "line\nbreak", True),
    ],
)
def test_a_glob_chooses_paths_as_a_shell_does(glob: str, path: str, expected: bool) -> None:
    assert FileFilter(include=[glob]).accepts(path) is expected


def test_one_include_is_enough_and_one_exclude_wins() -> None:
    chosen = FileFilter(include=["*.csv", "*.tsv"], exclude=["tmp*", "_*"])
    assert [p for p in ("a.csv", "a.tsv", "a.json", "tmp.csv", "_a.tsv") if chosen.accepts(p)] == [
        "a.csv",
        "a.tsv",
    ]


def test_the_default_excludes_leave_out_what_writers_leave_behind() -> None:
    source = LocalSource(type="local", url="x")
    chosen = FileFilter(source.include, source.exclude)
    left_out = ["_SUCCESS", "a/_SUCCESS", "_temporary/0/part", "a/_temporary/b", "a/.b.crc"]
    assert not [path for path in [*left_out, ".DS_Store", "a/.DS_Store"] if chosen.accepts(path)]
    assert all(chosen.accepts(path) for path in ["_SUCCESS.csv", "a/b.crc", "temporary/a", ".a"])


def test_modified_after_begins_at_midnight_utc() -> None:
    chosen = FileFilter(modified_after=date(2026, 3, 1))
    midnight = datetime(2026, 3, 1, tzinfo=timezone.utc)
    assert chosen.accepts_time(midnight)
    assert not chosen.accepts_time(midnight - timedelta(microseconds=1))
    east = timezone(timedelta(hours=2))
    assert not chosen.accepts_time(datetime(2026, 3, 1, 1, 59, tzinfo=east))
    assert FileFilter().accepts_time(datetime.min.replace(tzinfo=timezone.utc))


@pytest.mark.parametrize(
    ("include", "prefix"),
    [
        (["**"], ""),
        (["*.csv"], ""),
        (["a.csv"], ""),
        (["2026/**/*.csv"], "2026/"),
        (["2026/01/a.csv"], "2026/01/"),
        (["2026/01*/a.csv"], "2026/"),
        (["2026/{01,02}/*.csv"], "2026/"),
        (["a/b/*.csv", "a/c/*.csv"], "a/"),
        (["a/b/*.csv", "ab/*.csv"], ""),
        (["a/b/*.csv", "**"], ""),
        (["a//b/*.csv"], "a/"),
        (["a/./b/*.csv"], "a/"),
        (["../x/*.csv"], ""),
        (["/x/*.csv"], ""),
        ([r"a\*/b/*.csv"], ""),
        (["Ü ñ/*.csv"], "Ü ñ/"),
    ],
)
def test_the_prefix_is_the_folders_that_all_includes_share(include: list[str], prefix: str) -> None:
    assert FileFilter(include=include).prefix == prefix


@pytest.mark.parametrize(
    ("include", "path"),
    [("a//b/*.csv", "a/b/x.csv"), ("a/*.csv", "a//x.csv"), ("a/b/**", "a/b/c/../d")],
)
def test_every_accepted_path_begins_with_the_prefix(include: str, path: str) -> None:
    chosen = FileFilter(include=[include])
    assert chosen.accepts(path)
    assert path.startswith(chosen.prefix)


def test_an_exclude_of_everything_below_a_folder_prunes_it() -> None:
    chosen = FileFilter(exclude=["lost+found/**", "**/_temporary/**", "logs/*"])
    assert chosen.prunes("lost+found")
    assert chosen.prunes("a/_temporary")
    assert not chosen.prunes("logs")
    assert not chosen.prunes("lost")
    assert not chosen.accepts("lost+found/x")


def test_a_glob_with_too_many_alternatives_is_refused_with_its_text() -> None:
    with pytest.raises(SpecError, match=r"glob '\{1\.\.2000\}\.csv' cannot be used.*1000"):
        FileFilter(include=["{1..2000}.csv"])


@pytest.mark.parametrize(
    ("glob", "path"),
    [
        ("**/a/" * 4 + "b", "a/" * 512),
        ("**/*/" * 4 + "b", "a/" * 512 + "c"),
        ("*a" * 20 + "*b", "a" * 1024),
        ("**/*a*a*a*a/b", "aa/" * 341),
    ],
)
def test_no_glob_takes_a_path_of_its_choice_to_stop_the_process(glob: str, path: str) -> None:
    chosen = FileFilter(include=[glob])
    began = time.process_time()
    assert not chosen.accepts(path)
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("**/a/**/b/**/c", "x/a/a/y/b/b/z/c", True),
        ("**/a/**/b/**/c", "a/b/c", True),
        ("**/a/**/b/**/c", "b/a/c", False),
        ("x/**/a*/b/**/c/**", "x/a1/q/a2/b/c/d", True),
        ("x/**/a*/b/**/c/**", "x/a1/q/a2/c/d", False),
        ("**/*/x/**/*.csv", "p/x/q/x/r.csv", True),
        ("**/*/x/**/*.csv", "x/r.csv", False),
        ("**/*/**/*", "a/b", True),
        ("**/*/**/*", "a", False),
    ],
)
def test_globs_that_cross_folders_several_times(glob: str, path: str, expected: bool) -> None:
    assert FileFilter(include=["other/**/x/**/y", glob]).accepts(path) is expected
