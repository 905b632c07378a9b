"""Which errors of a commit leave its outcome open, so that it may be tried again."""

import pytest

from autoloader_dagster.iceberg.commits import is_open
from autoloader_dagster.spark.errors import is_environment

_METADATA = "file:/w/t/metadata/00007-9b.metadata.json"


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        ("org.apache.iceberg.exceptions.CommitFailedException: metadata location changed", True),
        ("(org.apache.iceberg.jdbc.UncheckedSQLException) Failed to commit", True),
        (f"org.apache.iceberg.exceptions.NotFoundException: no such file: {_METADATA}", True),
        ("org.apache.iceberg.exceptions.NotFoundException: no such file: /in/a.parquet", False),
        ("java.io.IOException: No space left on device", False),
    ],
)
def test_an_error_that_leaves_a_commit_open_is_told_from_others(error: str, answer: bool) -> None:
    assert is_open(Exception(error)) is answer


@pytest.mark.parametrize(
    "error",
    [
        "(org.apache.iceberg.jdbc.UncheckedSQLException) Failed to connect: jdbc:postgresql://x",
        "(org.apache.iceberg.exceptions.RESTException) Error occurred while processing GET request",
        "org.apache.iceberg.exceptions.ServiceUnavailableException: Service unavailable",
        "(org.apache.thrift.transport.TTransportException) java.net.ConnectException",
    ],
)
def test_a_catalog_that_is_out_of_reach_is_no_fault_of_the_files(error: str) -> None:
    assert is_environment(Exception(error))
    assert not is_environment(Exception("(org.apache.iceberg.exceptions.ValidationException) x"))
