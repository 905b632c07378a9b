"""The embedded server's settings."""

import re
from pathlib import Path
from secrets import token_hex

import pytest

from autoloader_dagster.errors import SparkSetupError, UsageError
from autoloader_dagster.redaction import strike
from autoloader_dagster.settings import load_settings
from autoloader_dagster.spark.conf_secrets import remember_secrets_of_error, secrets_in
from autoloader_dagster.spark.server.conf import (
    class_path,
    heap,
    java_options,
    read_conf,
    server_conf,
    warehouse,
    write_conf,
)

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


def test_what_java_itself_must_be_told_is_taken_from_the_settings(tmp_path: Path) -> None:
    (tmp_path / "driver.jar").touch()
    conf = {
        "spark.driver.defaultJavaOptions": "-Da=1",
        "spark.driver.extraJavaOptions": "-Da=2 '-Db=x y'",
        "spark.driver.extraClassPath": f"{tmp_path}/driver.jar:{tmp_path}/*",
        "spark.driver.extraLibraryPath": str(tmp_path),
    }
    assert java_options(conf) == ["-Da=1", "-Da=2", "-Db=x y", f"-Djava.library.path={tmp_path}"]
    assert class_path(conf) == [f"{tmp_path}/driver.jar", f"{tmp_path}/*"]
    assert java_options({}) == class_path({}) == []


@pytest.mark.parametrize("path", ["driver.jar", "{folder}/none.jar", "{folder}/none/*"])
def test_a_path_that_java_would_pass_over_is_an_error(tmp_path: Path, path: str) -> None:
    given = path.replace("{folder}", str(tmp_path))
    for key, take in (("ClassPath", class_path), ("LibraryPath", java_options)):
        with pytest.raises(SparkSetupError, match=f"extra{key} has '{re.escape(given)}', which is"):
            take({f"spark.driver.extra{key}": given})


def test_java_options_with_an_open_quote_are_an_error() -> None:
    with pytest.raises(SparkSetupError, match="extraJavaOptions cannot be taken apart"):
        java_options({"spark.driver.extraJavaOptions": "-Da='x"})


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


# A canary, written as C, in each setting that may hold a secret.
_WITH_SECRETS = {
    "spark.sql.catalog.a.uri": "jdbc:postgresql://cat:5432/ice?user=ice&password=C&ssl=true",
    "spark.sql.catalog.b.uri": "jdbc:postgresql://ice:C@cat:5432/ice",
    "spark.sql.catalog.c.uri": "jdbc:sqlserver://cat:1433;user=ice;password={C};encrypt=true",
    "spark.sql.catalog.d.uri": "jdbc:oracle:thin:ice/C@//cat:1521/ice",
    "spark.sql.catalog.e.uri": "jdbc:mysql://address=(host=cat)(user=ice)(password=C)/ice",
    "spark.sql.catalog.f.uri": "jdbc:postgresql://ice:C@cat/ice?user=a@b",
    "spark.sql.catalog.g.jdbc.password": "C",
    "spark.sql.catalog.h.credential": "client:C",
    "spark.sql.catalog.i.token": "C",
    "spark.sql.catalog.j.header.Authorization": "Bearer C",
    "spark.sql.catalog.k.s3.secret-access-key": "C",
    "spark.sql.catalog.l.adls.sas-token.account": "sv=2024&sig=C&se=1",
    "spark.hadoop.fs.s3a.access.key": "C",
    "spark.hadoop.fs.s3a.secret.key": "C",
    "spark.hadoop.fs.azure.account.key.x.dfs.core.windows.net": "C",
    "spark.hadoop.javax.jdo.option.ConnectionPassword": "C",
    "spark.ssl.keyStorePassword": "C",
    "spark.driver.extraJavaOptions": "-Xmx1g -Djavax.net.ssl.trustStorePassword=C -Dx=y",
}


@pytest.mark.parametrize("key", _WITH_SECRETS)
def test_the_secrets_of_the_users_file_are_struck_out(tmp_path: Path, key: str) -> None:
    canary = f"Tr0ub{token_hex(8)}&3x"
    value = _WITH_SECRETS[key].replace("C", canary)
    file = tmp_path / "spark.conf"
    file.write_text(f"{key} {value}\n")
    settings = load_settings({"HOME": str(tmp_path), "AUTOLOADER_SPARK_CONF": str(file)})
    found = server_conf(settings, tmp_path)[key]
    assert found == value
    for shown in (f"Failed to connect: {found}", f"password {canary!r} is wrong"):
        assert canary[:20] not in strike(shown)
        assert "&3x" not in strike(shown)


def test_a_setting_without_a_secret_is_shown_as_it_is(tmp_path: Path) -> None:
    conf = {
        "spark.sql.catalog.lake.uri": "jdbc:postgresql://cat.example:5432/iceberg?user=me@example",
        "spark.sql.catalog.rest.uri": "https://cat.example:8181/api?warehouse=w",
        "spark.hadoop.fs.s3a.aws.credentials.provider": "org.example.TokenProvider",
        "spark.sql.catalog.lake.token-refresh-enabled": "disabled",
        "spark.sql.catalog.lake.token-expires-in-ms": "3600000",
        "spark.executorEnv.PWD": "/home/somebody",
        "spark.ssl.keyStorePasswordFile": "/etc/secrets/store",
    }
    assert list(secrets_in(conf)) == []
    assert list(secrets_in(server_conf(load_settings({"HOME": str(tmp_path)}), tmp_path))) == []


def test_passwords_of_addresses_in_an_error_are_struck_out_and_no_others() -> None:
    canary = f"canary{token_hex(8)}"
    jdbc = f"Failed to connect: jdbc:postgresql://cat:5432/ice?user=me&password={canary}1 (refused)"
    http = f"Connect to http://me:{canary}2@cat:8181/api failed"
    other = f"s3a://in/{canary}3:x@y.csv is gone, token={canary}4 is no number"
    for error in (jdbc, http, other):
        remember_secrets_of_error(error)
    assert strike(jdbc) == (
        "Failed to connect: jdbc:postgresql://cat:5432/ice?user=me&password=*** (refused)"
    )
    assert strike(http) == "Connect to http://me:***@cat:8181/api failed"
    # Files and data, which anybody may name as he likes.
    assert strike(other) == other


def test_a_line_that_is_no_setting_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "spark.conf"
    file.write_text("spark.sql.catalog.lake.token abc\ndefcanary\n")
    with pytest.raises(SparkSetupError, match=r"spark\.conf:2") as caught:
        read_conf(file)
    assert "canary" not in str(caught.value)
