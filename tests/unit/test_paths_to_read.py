"""Which paths Spark is given for a batch: names, or the folders that hold them."""

from datetime import datetime, timezone

from autoloader_dagster.formats.reading import LIST_FOLDERS_FROM, paths_to_read
from autoloader_dagster.iceberg.lineage import SourceFile

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
MANY = LIST_FOLDERS_FROM


def _files(*names: str) -> list[SourceFile]:
    return [SourceFile(name, NOW, None, name) for name in names]


def test_local_files_are_named_however_many_there_are() -> None:
    names = [f"file:///in/{i}.csv" for i in range(1000)]
    assert paths_to_read(_files(*names), 1000) == (names, False)


def test_glob_signs_in_names_are_escaped() -> None:
    paths, _ = paths_to_read(_files("file:///in/a[1]{b}*?.csv"), 1)
    assert paths == [r"file:///in/a\[1\]\{b\}\*\?.csv"]


def test_few_objects_are_named() -> None:
    names = [f"s3a://b/in/{i}.csv" for i in range(MANY - 1)]
    assert paths_to_read(_files(*names), 10) == (names, False)


def test_many_objects_are_read_through_their_folder() -> None:
    names = [f"s3a://b/in/{i}.csv" for i in range(MANY)]
    assert paths_to_read(_files(*names), 10_000) == (["s3a://b/in/"], True)


def test_some_objects_of_a_huge_folder_are_named() -> None:
    names = [f"s3a://b/in/{i}.csv" for i in range(MANY)]
    assert paths_to_read(_files(*names), 1_000_000) == (names, False)


def test_nested_folders_are_listed_once() -> None:
    names = [f"s3a://b/in/{i}.csv" for i in range(MANY)] + ["s3a://b/in/deep/x.csv"]
    assert paths_to_read(_files(*names), 100) == (["s3a://b/in/"], True)


def test_too_many_folders_are_read_through_the_one_above_them() -> None:
    names = [f"s3a://b/in/{i:03}/x.csv" for i in range(MANY + 1)]
    assert paths_to_read(_files(*names), 100) == (["s3a://b/in/"], True)
    names = [f"s3a://b/{i:03}/x.csv" for i in range(MANY + 1)]
    assert paths_to_read(_files(*names), 100) == (["s3a://b/"], True)


def test_objects_in_hidden_folders_are_named_for_spark_would_not_list_them() -> None:
    names = [f"s3a://b/in/{i}.csv" for i in range(MANY)] + ["s3a://b/in/_old/.x/y.csv"]
    assert paths_to_read(_files(*names), 100) == (["s3a://b/in/", "s3a://b/in/_old/.x/y.csv"], True)


def test_staged_copies_are_named_beside_the_folders() -> None:
    names = [f"s3a://b/in/{i}.csv" for i in range(MANY)]
    paths, others = paths_to_read(_files("file:///staging/x.csv", *names), 100)
    assert (paths, others) == (["s3a://b/in/", "file:///staging/x.csv"], True)
