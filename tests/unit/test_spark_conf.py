"""The embedded server's settings."""

from pathlib import Path

import pytest

from autoloader_dagster.errors import SparkSetupError, UsageError
from autoloader_dagster.settings import load_settings
from autoloader_dagster.spark.server.conf import heap, read_conf, server_conf, warehouse, write_conf

GIB = 1024  # in MiB


def test_the_users_file_overrides_ours_and_the_rest_stays(tmp_path: Path) -> None:
    file = tmp_path / "spark.conf"
    file.write_text("# mine\n\nspark.sql.shuffle.partitions  64\nspark.extra = a = b\n")
    settings = load_settings({"HOME": str(tmp_path), "AUTOLOADER_SPARK_CONF": str(file)})
    conf = server_conf(settings, tmp_path)
    assert conf["spark.sql.shuffle.partitions"] == "64"
    assert conf["spark.extra"] == "a = b"
    assert conf["spark.sql.session.timeZone"] == "UTC"


def test_what_is_written_reads_back_and_is_private(tmp_path: Path) -> None:
    conf = {"a.b": "C:\\dir with blanks", "spark.x": "k=v#!:", "spark.url": "s3://b/p?x=1"}
    write_conf(tmp_path / "spark.conf", conf)
    assert read_conf(tmp_path / "spark.conf") == conf
    assert (tmp_path / "spark.conf").stat().st_mode & 0o777 == 0o600


def test_a_key_without_a_value_is_an_error_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "spark.conf"
    file.write_text("spark.a 1\nspark.b\n")
    with pytest.raises(SparkSetupError, match=r"spark\.conf:2  'spark\.b' has no value"):
        read_conf(file)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SparkSetupError, match="cannot be read"):
        read_conf(tmp_path)
    (tmp_path / "latin").write_bytes(b"spark.a \xe9\n")
    with pytest.raises(SparkSetupError, match="cannot be read"):
        read_conf(tmp_path / "latin")


@pytest.mark.parametrize(
    ("memory", "option"), [("2g", "2g"), ("512MB", "512m"), ("768", "768m"), ("1T", "1t")]
)
def test_the_memory_is_given_as_java_takes_it(memory: str, option: str) -> None:
    assert heap({"spark.driver.memory": memory}) == option


def test_the_default_memory_is_between_one_and_four_gib() -> None:
    assert GIB <= int(heap({}).removesuffix("m")) <= 4 * GIB


def test_a_memory_that_is_not_a_size_is_an_error() -> None:
    with pytest.raises(SparkSetupError, match="'lots', which is not a size"):
        heap({"spark.driver.memory": "lots"})


def test_the_warehouse_is_an_absolute_folder_or_a_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for given, expected in [("s3://b/wh", "s3://b/wh"), ("wh", str(tmp_path / "wh"))]:
        settings = load_settings({"HOME": str(tmp_path), "AUTOLOADER_WAREHOUSE": given})
        assert warehouse(settings) == expected


@pytest.mark.parametrize("value", ["soon", "-1", "0", "1e400", "nan"])
def test_an_idle_time_that_is_not_a_number_of_seconds_is_refused(value: str) -> None:
    with pytest.raises(UsageError, match="AUTOLOADER_SPARK_IDLE_SECONDS"):
        load_settings({"AUTOLOADER_SPARK_IDLE_SECONDS": value})
