"""What every source promises, asked of each kind of the registry and of one that tests bring."""

import random
import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import SecretStr

from autoloader_dagster.errors import FileChanged, SourceNotFound
from autoloader_dagster.sources.base import FileRef, FileSource, SourceKind
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.s3.connection import ResolvedS3Connection
from autoloader_dagster.specs.registry import SOURCES, source_of, source_of_address
from autoloader_dagster.specs.source_section import SourceSection
from tests.fixtures import memory_source
from tests.fixtures.memory_source import MEMORY
from tests.fixtures.s3 import S3Bucket

ODD_NAMES = [
    "a b.csv",
    "trailing ",
    "per%20cent.csv",
    "100%",
    "a+b.csv",
    "#hash.csv",
    "what?.csv",
    "a&b<c>'\".csv",
    "back\\slash.csv",
    "[1]{2}*.csv",
    "a:b,c;d=e.csv",
    "_under.csv",
    ".dot.csv",
    "tab\t.csv",
    "Ünï/漢字 😀.csv",
    "cafe\u0301.csv",
]


class Place(ABC):
    """Somewhere to put files, and the source that looks there."""

    @abstractmethod
    def put(self, path: str, body: bytes) -> None: ...

    @abstractmethod
    def delete(self, path: str) -> None: ...

    @abstractmethod
    def url(self, below: str) -> str: ...

    @abstractmethod
    def missing_url(self) -> str: ...

    @abstractmethod
    def spark_path(self, path: str) -> str:
        """What Spark is given for a file."""

    def section(self, url: str, **filters: object) -> SourceSection:
        section = {"type": self.kind.name, "url": url, **filters}
        if self.kind.connection is not None:
            section["connection"] = "landing"
        return self.kind.section.model_validate(section)

    def source(
        self, below: str = "in/", *, url: str | None = None, **filters: object
    ) -> FileSource:
        source = self.section(url or self.url(below), **filters)
        chosen = FileFilter(source.include, source.exclude, source.modified_after)
        return self.kind.open(source, chosen, "orders", self.connection, None)

    kind: SourceKind
    connection: Any = None


class Folder(Place):
    kind = source_of("local")

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, path: str, body: bytes) -> None:
        file = self._root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(body)

    def delete(self, path: str) -> None:
        (self._root / path).unlink()

    def url(self, below: str) -> str:
        return f"{self._root}/{below}"

    def missing_url(self) -> str:
        return f"{self._root}/no-such-folder/"

    def spark_path(self, path: str) -> str:
        return f"file://{path}"


class Bucket(Place):
    kind = source_of("s3")

    def __init__(self, bucket: S3Bucket) -> None:
        self._bucket = bucket
        self.connection = ResolvedS3Connection(
            name="landing",
            endpoint_url=bucket.server.endpoint,
            region=None,
            access_key_id=SecretStr("tests"),
            secret_access_key=SecretStr("tests"),
            session_token=None,
            profile=None,
            path_style=True,
            anonymous=False,
        )

    def put(self, path: str, body: bytes) -> None:
        self._bucket.put(path, body)

    def delete(self, path: str) -> None:
        self._bucket.delete(path)

    def url(self, below: str) -> str:
        return f"s3://{self._bucket.name}/{below}"

    def missing_url(self) -> str:
        return "s3://there-is-no-such-bucket/in/"

    def spark_path(self, path: str) -> str:
        return path.replace("s3://", "s3a://", 1)


class InMemory(Place):
    kind = memory_source.SOURCE
    connection = SecretStr(memory_source.TOKEN)

    def __init__(self) -> None:
        self._host = f"host-{secrets.token_hex(6)}"
        MEMORY.hosts.add(self._host)

    def put(self, path: str, body: bytes) -> None:
        MEMORY.put(self.url(path), body)

    def delete(self, path: str) -> None:
        del MEMORY.files[self.url(path)]

    def url(self, below: str) -> str:
        return f"memory://{self._host}/{below}"

    def missing_url(self) -> str:
        return "memory://no-such-host/in/"

    def spark_path(self, path: str) -> str:
        return path


def _folder(request: pytest.FixtureRequest) -> Place:
    root: Path = request.getfixturevalue("tmp_path")
    (root / "in").mkdir()
    return Folder(root)


# A place of each kind of source; the last kind is only known to tests.
PLACES: dict[str, Callable[[pytest.FixtureRequest], Place]] = {
    "local": _folder,
    "s3": lambda request: Bucket(request.getfixturevalue("s3_bucket")),
    "memory": lambda request: InMemory(),
}


@pytest.fixture(params=sorted({*SOURCES, *PLACES}))
def place(request: pytest.FixtureRequest) -> Place:
    return PLACES[request.param](request)


@pytest.mark.parametrize("name", SOURCES)
def test_a_kind_is_found_by_its_name_and_has_a_place_here(name: str) -> None:
    kind = source_of(name)
    assert isinstance(kind, SourceKind)
    assert kind.name == name
    assert all(source_of_address(f"{scheme}://x/y") is kind for scheme in kind.schemes)
    if kind.connection is not None:
        assert get_args(kind.connection.model_fields["type"].annotation) == (name,)
        # What is written where a reference belongs may be the secret itself.
        assert kind.connection.model_config.get("hide_input_in_errors")
    assert name in PLACES, "add a place of the kind, so that these tests hold for it"


def test_a_name_that_no_kind_has_is_an_error() -> None:
    with pytest.raises(KeyError):
        source_of("nothing")
    assert source_of_address("nothing://x/y") is None


def listed(source: FileSource) -> list[FileRef]:
    return [ref for page in source.list_pages() for ref in page]


def names(source: FileSource) -> list[str]:
    return sorted(ref.relative_path for ref in listed(source))


def only(source: FileSource) -> FileRef:
    (ref,) = listed(source)
    return ref


def test_a_listed_file_has_its_address_size_and_time(place: Place) -> None:
    before = datetime.now(timezone.utc) - timedelta(seconds=2)
    place.put("in/2026/a.csv", b"12345")
    ref = only(place.source())
    assert ref.path == place.url("in/2026/a.csv")
    assert (ref.relative_path, ref.size) == ("2026/a.csv", 5)
    assert before <= ref.modified_at <= datetime.now(timezone.utc) + timedelta(seconds=2)
    assert ref.modified_at.tzinfo is timezone.utc
    assert ref.version


def test_an_empty_file_is_listed_and_opens_empty(place: Place) -> None:
    place.put("in/empty", b"")
    source = place.source()
    ref = only(source)
    assert ref.size == 0
    with source.open(ref) as stream:
        assert stream.read() == b""


def test_nothing_there_is_an_empty_listing(place: Place) -> None:
    assert list(place.source().list_pages()) == []


def test_a_missing_root_is_an_error_and_names_the_spec(place: Place) -> None:
    source = place.source(url=place.missing_url())
    with pytest.raises(SourceNotFound, match=r"no-such-.*spec 'orders'.*\n  -> \w"):
        listed(source)
    with pytest.raises(SourceNotFound):
        source.stat([f"{place.missing_url()}a.csv"])


def test_thousands_of_files_come_in_bounded_pages_each_once(place: Place) -> None:
    expected = {f"in/d{number % 7}/f{number:05d}.csv" for number in range(2_500)}
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda path: place.put(path, b"x"), sorted(expected)))
    pages = list(place.source().list_pages())
    assert len(pages) == 3
    assert max(map(len, pages)) <= 1_000
    paths = [f"in/{ref.relative_path}" for page in pages for ref in page]
    assert len(paths) == len(expected)
    assert set(paths) == expected


def test_names_with_odd_signs_are_listed_opened_and_asked_for_again(place: Place) -> None:
    for name in ODD_NAMES:
        place.put(f"in/{name}", name.encode())
    source = place.source()
    refs = listed(source)
    assert {ref.relative_path for ref in refs} == set(ODD_NAMES)
    section = place.section(place.url("in/"))
    for ref in refs:
        assert ref.path == place.url("in/") + ref.relative_path
        assert place.kind.relative_path(section, ref.path) == ref.relative_path
        with source.open(ref) as stream:
            assert stream.read() == ref.relative_path.encode()
    assert source.stat([ref.path for ref in refs]) == {ref.path: ref for ref in refs}


def test_spark_gets_the_raw_characters(place: Place) -> None:
    place.put("in/a b%20+ü[1].csv", b"x")
    source = place.source()
    ref = only(source)
    assert source.spark_path(ref) == place.spark_path(ref.path)


def test_the_filters_choose(place: Place) -> None:
    for path in ("a.csv", "b.json", "x/a.csv", "x/_tmp/a.csv", "_SUCCESS", "x/.a.csv"):
        place.put(f"in/{path}", b"x")
    assert names(place.source(include=["*.csv"])) == ["a.csv"]
    assert names(place.source(include=["**/*.csv"], exclude=["**/_tmp/**"])) == [
        "a.csv",
        "x/.a.csv",
        "x/a.csv",
    ]
    assert "_SUCCESS" not in names(place.source())
    today = datetime.now(timezone.utc).date()
    assert names(place.source(modified_after=today + timedelta(days=2))) == []
    assert len(names(place.source(modified_after=date(2020, 1, 1)))) == 5


def test_a_listing_that_starts_deeper_finds_the_same(place: Place) -> None:
    for path in ("2025/01/a.csv", "2026/01/b.csv", "2026/02/c.csv", "2026.csv", "20260/d.csv"):
        place.put(f"in/{path}", b"x")
    assert names(place.source(include=["2026/**/*.csv"])) == ["2026/01/b.csv", "2026/02/c.csv"]
    assert names(place.source(include=["2026/01/b.csv"])) == ["2026/01/b.csv"]
    assert names(place.source(include=["2027/**"])) == []


@pytest.mark.parametrize("below", ["covid", "covid/"])
def test_a_prefix_ends_where_its_folder_ends(place: Place, below: str) -> None:
    place.put("covid/a.csv", b"x")
    place.put("covid2/b.csv", b"x")
    assert names(place.source(below)) == ["a.csv"]


def test_a_url_may_be_one_file(place: Place) -> None:
    place.put("in/one.csv", b"abc")
    place.put("in/one.csv.bak", b"x")
    source = place.source("in/one.csv")
    ref = only(source)
    assert (ref.relative_path, ref.path) == ("one.csv", place.url("in/one.csv"))
    assert place.kind.relative_path(place.section(ref.path), ref.path) == ref.relative_path
    assert source.stat([ref.path]) == {ref.path: ref}
    assert source.open(ref).read() == b"abc"
    assert names(place.source("in/one.csv", include=["*.json"])) == []
    place.delete("in/one.csv")
    assert source.stat([ref.path]) == {ref.path: None}


@pytest.mark.parametrize(
    ("start", "length"),
    [
        *[(0, None), (0, 4), (3, 4), (3, None), (0, 0), (8, 100), (10, None), (99, 1), (9, 1)],
        *[(-1, None), (-4, None), (-4, 2), (-10, None), (-99, None), (-99, 3)],
    ],
)
def test_a_range_is_the_slice_of_the_bytes(place: Place, start: int, length: int | None) -> None:
    body = b"0123456789"
    place.put("in/a", body)
    source = place.source()
    rest = body[start:] if start >= -len(body) else body
    with source.open(only(source), start, length) as stream:
        assert stream.read() == (rest if length is None else rest[:length])


def test_a_large_file_is_read_in_pieces_whole(place: Place) -> None:
    body = random.Random(1).randbytes(3 * 2**20 + 7)
    place.put("in/a", body)
    source = place.source()
    with source.open(only(source)) as stream:
        assert b"".join(iter(lambda: stream.read(100_003), b"")) == body
    with source.open(only(source)) as stream:
        assert stream.read(4) == body[:4]


@pytest.mark.parametrize("body", [b"abd", b"longer than it was", b""])
@pytest.mark.parametrize(("start", "length"), [(0, None), (-2, 2), (3, None)])
def test_a_replaced_file_does_not_open(
    place: Place, body: bytes, start: int, length: int | None
) -> None:
    place.put("in/a", b"abc")
    source = place.source()
    ref = only(source)
    place.put("in/a", body)
    with pytest.raises(FileChanged, match=r"in/a of spec 'orders' was replaced"):
        source.open(ref, start, length)
    now = source.stat([ref.path])[ref.path]
    assert now is not None
    assert now.version != ref.version
    assert source.open(now).read() == body


def test_a_deleted_file_does_not_open_and_is_told_as_gone(place: Place) -> None:
    place.put("in/a", b"abc")
    place.put("in/b", b"abc")
    source = place.source()
    a, b = sorted(listed(source), key=lambda ref: ref.path)
    place.delete("in/a")
    for start, length in [(0, None), (0, 0)]:
        with pytest.raises(FileChanged, match=r"in/a of spec 'orders'"):
            source.open(a, start, length)
    assert source.stat([a.path, b.path]) == {a.path: None, b.path: b}


def test_asking_for_no_file_answers_nothing(place: Place) -> None:
    assert place.source().stat([]) == {}


def test_a_file_outside_of_the_url_is_known_by_its_base_name(place: Place) -> None:
    place.put("old/x/a", b"abc")
    path = place.url("old/x/a")
    ref = place.source().stat([path])[path]
    assert ref is not None
    assert ref.relative_path == "a"


@pytest.mark.parametrize("use", ["list", "stat", "open"])
def test_one_source_serves_many_threads(place: Place, use: str) -> None:
    for number in range(20):
        place.put(f"in/{number}", str(number).encode() * 1000)
    source = place.source()
    refs = listed(source)
    work: dict[str, Callable[[FileRef], object]] = {
        "list": lambda _: names(source),
        "stat": lambda ref: source.stat([ref.path]),
        "open": lambda ref: source.open(ref).read(),
    }
    with ThreadPoolExecutor(8) as threads:
        results = list(threads.map(work[use], refs))
    if use == "list":
        assert results == [names(source)] * len(refs)
    elif use == "stat":
        assert results == [{ref.path: ref} for ref in refs]
    else:
        assert results == [ref.relative_path.encode() * 1000 for ref in refs]


def test_an_opened_file_is_not_another_version_s(place: Place) -> None:
    place.put("in/a", b"abc")
    source = place.source()
    ref = only(source)
    stale = replace(ref, version="0" * 16, etag="0" * 32)
    with pytest.raises(FileChanged):
        source.open(stale)
