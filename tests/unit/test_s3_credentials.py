"""Credentials that the AWS SDK finds by itself: broken ones are refused, all of them are struck."""

import os
import sys
import traceback
from pathlib import Path
from secrets import token_hex

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from autoloader_dagster.errors import SourceAccessDenied, SourceError, SourceUnavailable
from autoloader_dagster.redaction import strike
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.s3.client import Patience, S3Access
from autoloader_dagster.sources.s3.connection import ResolvedS3Connection
from autoloader_dagster.sources.s3.errors import S3Place, told_as_source_errors
from autoloader_dagster.sources.s3.source import S3FileSource

# Nothing listens there.
ENDPOINT = "http://127.0.0.1:9"
QUICK = Patience(connect=1, read=1, unreachable=0)


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Leave nothing of the machine's own credentials."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": ENDPOINT,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
    }.items():
        monkeypatch.setenv(name, value)


def listing_error(profile: str | None = None) -> tuple[SourceError, str]:
    """The error of a listing, and it with all its causes as Python prints them."""
    connection = _by_profile(profile) if profile else None
    source = S3FileSource("s3://bucket/in/", FileFilter(), "orders", connection, QUICK)
    with pytest.raises(SourceError) as caught:
        list(source.list_pages())
    return caught.value, strike("".join(traceback.format_exception(caught.value)))


def _by_profile(profile: str) -> ResolvedS3Connection:
    return ResolvedS3Connection(
        "landing", ENDPOINT, "us-east-1", None, None, None, profile, True, False
    )


@pytest.mark.parametrize("broken", ["*\n", " *", "*\ntail*", "*\x7f"])
@pytest.mark.parametrize(
    "name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"]
)
def test_a_broken_variable_is_named_and_its_value_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, broken: str
) -> None:
    canary = f"canary{token_hex(12)}"
    for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(each, f"whole{token_hex(12)}")
    monkeypatch.setenv(name, broken.replace("*", canary))
    error, shown = listing_error()
    assert isinstance(error, SourceAccessDenied)
    assert f"environment variable {name} holds a blank, a line break" in error.what
    assert "later" not in error.hint
    assert canary not in shown


def test_a_request_that_http_cannot_carry_is_no_outage() -> None:
    # What the SDK raises for a header with a line break.
    refused = HTTPClientError(error=ValueError("Invalid header value b'canary\n'"))
    place = S3Place("s3://bucket/in/", ENDPOINT, None, "orders")
    with (
        pytest.raises(SourceError, match="the request cannot be sent") as caught,
        told_as_source_errors(place),
    ):
        raise refused
    assert not isinstance(caught.value, SourceUnavailable)
    assert "canary" not in str(caught.value)
    assert "later" not in caught.value.hint


def test_the_words_of_a_store_go_into_a_sentence_without_their_full_stop() -> None:
    told = {"Code": "InvalidRequest", "Message": "Please use AWS4-HMAC-SHA256."}
    refused = ClientError(
        {"Error": told, "ResponseMetadata": {"HTTPStatusCode": 400}},  # pyright: ignore[reportArgumentType]
        "ListObjectsV2",
    )
    place = S3Place("s3://bucket/in/", ENDPOINT, None, "orders")
    with pytest.raises(SourceError) as caught, told_as_source_errors(place):
        raise refused
    assert caught.value.what.endswith(
        "refuses the request (InvalidRequest: Please use AWS4-HMAC-SHA256, HTTP 400)"
    )


def test_a_broken_token_of_a_profile_is_named(tmp_path: Path) -> None:
    canary = f"canary{token_hex(12)}"
    (tmp_path / "credentials").write_text(
        f"[p]\naws_access_key_id = key{canary}\naws_secret_access_key = secret{canary}\n"
        f"aws_session_token = {canary}\n  tail{canary}\n"
    )
    error, shown = listing_error("p")
    assert "the session token of profile 'p' (the AWS credentials file) holds" in error.what
    assert canary not in shown


def test_broken_keys_that_a_role_is_assumed_with_are_refused(tmp_path: Path) -> None:
    canary = f"canary{token_hex(12)}"
    (tmp_path / "config").write_text(
        "[profile p]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = base\n"
        f"[profile base]\naws_access_key_id = {canary}\naws_secret_access_key = a\n  {canary}\n"
    )
    error, shown = listing_error("p")
    assert "the secret access key of profile 'p'" in error.what
    assert canary not in shown


def test_a_broken_token_of_a_program_is_refused(tmp_path: Path) -> None:
    canary = f"canary{token_hex(12)}"
    answer = tmp_path / "answer.py"
    answer.write_text(
        "import json; print(json.dumps({'Version': 1, 'AccessKeyId': 'k', 'SecretAccessKey': 's',"
        f" 'SessionToken': '{canary}\\n'}}))"
    )
    (tmp_path / "config").write_text(
        f"[profile p]\ncredential_process = {sys.executable} {answer}\n"
    )
    error, shown = listing_error("p")
    assert "the program that credential_process names" in error.what
    assert canary not in shown


@pytest.mark.parametrize("profile", [None, "p"])
def test_good_credentials_are_struck_out_from_the_first_request_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, profile: str | None
) -> None:
    canaries = [f"canary{token_hex(12)}" for _ in range(3)]
    if profile:
        names = ("aws_access_key_id", "aws_secret_access_key", "aws_session_token")
        lines = [f"{name} = {each}" for name, each in zip(names, canaries, strict=True)]
        (tmp_path / "credentials").write_text("\n".join(["[p]", *lines]))
    else:
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        for name, each in zip(names, canaries, strict=True):
            monkeypatch.setenv(name, each)
    error, _ = listing_error(profile)
    assert "no answer" in error.what
    assert strike(" ".join(canaries)) == "*** *** ***"


def test_spark_gets_the_keys_of_a_profile(tmp_path: Path) -> None:
    (tmp_path / "credentials").write_text(
        "[p]\naws_access_key_id = key\naws_secret_access_key = secret\naws_session_token = token\n"
    )
    options = S3Access(_by_profile("p"), QUICK).spark_options("b")
    assert options["fs.s3a.bucket.b.secret.key"] == "secret"
    assert options["fs.s3a.bucket.b.session.token"] == "token"
