"""What is special about S3: prefixes, markers, credentials, and stores that do not behave."""

import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from autoloader_dagster.errors import (
    FileChanged,
    SourceAccessDenied,
    SourceError,
    SourceNotFound,
    SourceUnavailable,
)
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.s3.client import Patience
from autoloader_dagster.sources.s3.connection import ResolvedS3Connection
from autoloader_dagster.sources.s3.source import S3FileSource
from tests.fixtures.s3 import S3Bucket, S3Server

IMPATIENT = Patience(connect=0.3, read=0.5, unreachable=1)


def connection(
    endpoint: str | None,
    key: str | None = "tests",
    secret: str | None = "tests",
    token: str | None = None,
    *,
    region: str | None = None,
    profile: str | None = None,
    path_style: bool = True,
    anonymous: bool = False,
) -> ResolvedS3Connection:
    return ResolvedS3Connection(
        name="landing",
        endpoint_url=endpoint,
        region=region,
        access_key_id=SecretStr(key) if key else None,
        secret_access_key=SecretStr(secret) if secret else None,
        session_token=SecretStr(token) if token else None,
        profile=profile,
        path_style=path_style,
        anonymous=anonymous,
    )


def source_of(bucket: S3Bucket, below: str = "", *keys: str, **filters: object) -> S3FileSource:
    return S3FileSource(
        f"s3://{bucket.name}/{below}",
        FileFilter(**filters),  # type: ignore[arg-type]
        "orders",
        connection(bucket.server.endpoint, *keys),
    )


def source_at(endpoint: str, patience: Patience = IMPATIENT) -> S3FileSource:
    return S3FileSource("s3://b/in/", FileFilter(), "orders", connection(endpoint), patience)


def listed(source: S3FileSource) -> list[FileRef]:
    return [ref for page in source.list_pages() for ref in page]


def names(source: S3FileSource) -> list[str]:
    return [ref.relative_path for ref in listed(source)]


@pytest.fixture
def no_aws_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of this machine's own AWS account is seen; answers with the credentials file."""
    file = tmp_path / "credentials"
    for name in ("PROFILE", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "REGION"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    for name in ("DEFAULT_REGION", "ENDPOINT_URL", "ENDPOINT_URL_S3"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    return file


# --- keys -------------------------------------------------------------------------------------


def test_folder_markers_are_not_files(s3_bucket: S3Bucket) -> None:
    for key in ("in/", "in/sub/", "in/sub/a", "in/empty"):
        s3_bucket.put(key)
    assert names(source_of(s3_bucket, "in/")) == ["empty", "sub/a"]


def test_an_object_that_is_called_like_a_folder_is_a_file(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a.csv/", b"id\n1\n")
    (ref,) = listed(source_of(s3_bucket, "in/"))
    assert (ref.relative_path, ref.size) == ("a.csv/", 5)
    # The prefix itself has no name below it; it is left out, and counted.
    source = source_of(s3_bucket, "in/a.csv/")
    assert listed(source) == []
    assert source.left_out == 1


def test_keys_that_are_no_paths_are_listed_and_opened(s3_bucket: S3Bucket) -> None:
    keys = ["in//x", "in/d//y", "in/../z", "in/./w", "in/\x01c", "/lead"]
    for key in keys:
        s3_bucket.put(key, key.encode())
    source = source_of(s3_bucket)
    refs = listed(source)
    assert {ref.relative_path for ref in refs} == set(keys)
    for ref in refs:
        assert ref.path == f"s3://{s3_bucket.name}/{ref.relative_path}"
        assert source.open(ref).read() == ref.relative_path.encode()
    assert "/x" in names(source_of(s3_bucket, "in/"))
    assert names(source_of(s3_bucket, "/")) == ["lead"]


def test_a_key_with_a_nul_is_listed_as_unusable_beside_the_others(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a\0b")
    s3_bucket.put("in/c")
    bad, good = listed(source_of(s3_bucket, "in/"))
    assert (bad.relative_path, good.relative_path, good.unusable) == (r"a\x00b", "c", None)
    assert "holds a NUL" in (bad.unusable or "")
    assert names(source_of(s3_bucket, "in/", exclude=["a*"])) == ["c"]


def test_the_version_is_the_etag(s3_bucket: S3Bucket) -> None:
    etag = s3_bucket.put("in/a", b"abc")
    (ref,) = listed(source_of(s3_bucket, "in/"))
    assert ref.version == ref.etag == etag
    assert ref.modified_at.microsecond == 0


def test_a_bucket_without_a_prefix_is_a_url(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("a")
    endpoint = s3_bucket.server.endpoint
    url = f"s3://{s3_bucket.name}"
    assert names(S3FileSource(url, FileFilter(), "orders", connection(endpoint))) == ["a"]


def test_a_folder_wins_over_an_object_of_the_same_key(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("covid", b"x")
    assert names(source_of(s3_bucket, "covid")) == ["covid"]
    s3_bucket.put("covid/a", b"x")
    assert names(source_of(s3_bucket, "covid")) == ["a"]


def test_a_stored_encoding_is_seen_when_an_object_is_asked_for(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a", b"x", ContentEncoding="gzip")
    s3_bucket.put("in/b", b"x")
    source = source_of(s3_bucket, "in/")
    found = source.stat([ref.path for ref in listed(source)])
    assert [ref.content_encoding for ref in found.values() if ref] == ["gzip", None]


def test_a_file_of_another_bucket_is_refused(s3_bucket: S3Bucket) -> None:
    with pytest.raises(SourceError, match=r"s3://other/a is not in s3://bucket-.*spec 'orders'"):
        source_of(s3_bucket).stat(["s3://other/a"])


# --- what is not there --------------------------------------------------------------------------


def test_a_missing_bucket_is_not_an_empty_one(s3_server: S3Server) -> None:
    source = S3FileSource(
        "s3://no-such-bucket/in/", FileFilter(), "orders", connection(s3_server.endpoint)
    )
    expected = (
        rf"s3://no-such-bucket/in/ at {s3_server.endpoint} \(connection 'landing'\) of spec "
        r"'orders': there is no such bucket\n  -> Correct source.url"
    )
    with pytest.raises(SourceNotFound, match=expected):
        listed(source)
    with pytest.raises(SourceNotFound, match="no such bucket"):
        source.stat(["s3://no-such-bucket/in/a"])


def test_a_bucket_that_is_gone_is_not_a_changed_file(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a", b"abc")
    source = source_of(s3_bucket, "in/")
    (ref,) = listed(source)
    s3_bucket.delete("in/a")
    s3_bucket.server.client.delete_bucket(Bucket=s3_bucket.name)
    with pytest.raises(SourceNotFound, match="no such bucket"):
        source.open(ref)


def test_an_impossible_bucket_name_is_not_found(s3_server: S3Server) -> None:
    keys = connection(s3_server.endpoint)
    source = S3FileSource("s3://no such!/in/", FileFilter(), "orders", keys)
    with pytest.raises(SourceNotFound, match="cannot be the name of a bucket"):
        listed(source)


# --- credentials --------------------------------------------------------------------------------


def test_an_unknown_key_is_denied(s3_bucket: S3Bucket) -> None:
    source = source_of(s3_bucket, "in/", "AKIAUNKNOWN", "secret")
    expected = r"InvalidAccessKeyId.*\n.*access_key_id"
    with (
        s3_bucket.server.checking_signatures(),
        pytest.raises(SourceAccessDenied, match=expected),
    ):
        listed(source)


def test_a_wrong_secret_is_denied_and_never_shown(s3_bucket: S3Bucket) -> None:
    key, _ = s3_bucket.server.user("wrong-secret", "s3:ListBucket")
    secret = "never-to-be-shown-1234567890"
    source = source_of(s3_bucket, "in/", key, secret)
    with (
        s3_bucket.server.checking_signatures(),
        pytest.raises(SourceAccessDenied, match="SignatureDoesNotMatch") as caught,
    ):
        listed(source)
    assert secret not in "".join(traceback.format_exception(caught.value))
    assert secret not in repr(source)


def test_a_user_without_rights_is_denied_everything(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a", b"abc")
    (ref,) = listed(source_of(s3_bucket, "in/"))
    source = source_of(s3_bucket, "in/", *s3_bucket.server.user("without-rights"))
    calls: list[Callable[[], object]] = [
        lambda: listed(source),
        lambda: source.stat([ref.path]),
        lambda: source.open(ref),
        lambda: source.open(ref, 0, 0),
    ]
    with s3_bucket.server.checking_signatures():
        for call in calls:
            with pytest.raises(SourceAccessDenied, match=r"\n  -> Allow .*s3:ListBucket"):
                call()


def test_a_user_who_may_list_and_read_needs_no_more(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a", b"abc")
    user = s3_bucket.server.user("reader", "s3:ListBucket", "s3:GetObject")
    source = source_of(s3_bucket, "in/", *user)
    one = source_of(s3_bucket, "in/a", *user)
    with s3_bucket.server.checking_signatures():
        (ref,) = listed(source)
        assert source.stat([ref.path]) == {ref.path: ref}
        assert source.open(ref).read() == b"abc"
        assert names(one) == ["a"]


def test_no_credentials_at_all_say_so(no_aws_settings: Path) -> None:
    source = S3FileSource("s3://b/in/", FileFilter(), "orders")
    expected = r"\(no connection\) of spec 'orders': no usable credentials.*\n.*source.connection"
    with pytest.raises(SourceAccessDenied, match=expected):
        listed(source)


def test_a_profile_that_does_not_exist_is_denied(no_aws_settings: Path) -> None:
    keys = connection("http://127.0.0.1:1", None, None, profile="nope")
    source = S3FileSource("s3://b/in/", FileFilter(), "orders", keys)
    with pytest.raises(SourceAccessDenied, match=r"profile \(nope\) could not be found\n  -> Corr"):
        listed(source)


def test_a_public_bucket_is_read_unsigned(s3_bucket: S3Bucket) -> None:
    s3_bucket.put("in/a", b"abc", ACL="public-read")
    keys = connection(s3_bucket.server.endpoint, None, None, anonymous=True)
    source = S3FileSource(f"s3://{s3_bucket.name}/in/", FileFilter(), "orders", keys)
    (ref,) = listed(source)
    assert source.open(ref).read() == b"abc"


def test_without_a_connection_the_sdk_s_own_settings_rule(
    s3_bucket: S3Bucket, no_aws_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_bucket.put("in/a", b"abc")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_bucket.server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tests")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "tests")
    source = S3FileSource(f"s3://{s3_bucket.name}/in/", FileFilter(), "orders")
    assert names(source) == ["a"]
    options = source.spark_options()
    assert options[f"fs.s3a.bucket.{s3_bucket.name}.endpoint"] == s3_bucket.server.endpoint


# --- endpoints ----------------------------------------------------------------------------------


@pytest.fixture
def silent_endpoint() -> Iterator[str]:
    """A server that takes every connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def unreachable_endpoint() -> Iterator[str]:
    """A port whose queue is full: packets to it are dropped, as a firewall drops them."""
    with ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(8):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "http://nowhere.invalid"])
def test_a_dead_endpoint_is_unavailable(endpoint: str) -> None:
    source = source_at(endpoint, Patience())
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match=rf"at {endpoint} .*no answer.*\n.*endpoint_url"):
        listed(source)
    assert time.monotonic() - started < 20


def test_an_unreachable_endpoint_is_given_up_in_time(unreachable_endpoint: str) -> None:
    source = source_at(unreachable_endpoint)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="no answer"):
        listed(source)
    assert time.monotonic() - started < 10


def test_a_silent_endpoint_is_asked_twice_and_given_up(silent_endpoint: str) -> None:
    source = source_at(silent_endpoint)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="no answer"):
        listed(source)
    assert 2 * IMPATIENT.read <= time.monotonic() - started < 10


def test_many_files_at_a_silent_endpoint_cost_no_more_than_few(silent_endpoint: str) -> None:
    source = source_at(silent_endpoint)
    started = time.monotonic()
    with pytest.raises(SourceUnavailable, match="no answer"):
        source.stat([f"s3://b/in/{number}" for number in range(1_000)])
    assert time.monotonic() - started < 15


def test_https_where_the_store_speaks_http_says_so(s3_server: S3Server) -> None:
    with pytest.raises(SourceUnavailable, match=r"no secure connection.*\n.*endpoint_url says"):
        listed(source_at(s3_server.endpoint.replace("http:", "https:"), Patience()))


@pytest.mark.parametrize(
    ("endpoint", "region"), [("nonsense", None), ("http://127.0.0.1:1", "no region!")]
)
def test_a_malformed_endpoint_or_region_says_what_to_correct(
    endpoint: str, region: str | None
) -> None:
    keys = connection(endpoint, region=region)
    source = S3FileSource("s3://b/in/", FileFilter(), "orders", keys)
    with pytest.raises(SourceError, match=r"Correct endpoint_url and region of the connection"):
        listed(source)


# --- stores that do not behave, which no real server can be made to do --------------------------


@dataclass
class ScriptedStore:
    """A server that gives the prepared answers in turn, the last one for ever."""

    endpoint: str
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: int = 0

    def says(self, body: str | bytes, status: int = 200, **headers: str) -> None:
        raw = body.encode() if isinstance(body, str) else body
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.answers.append((status, {"Content-Length": str(len(raw)), **named}, raw))

    def next_answer(self) -> tuple[int, dict[str, str], bytes]:
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return answer


@pytest.fixture
def scripted_store() -> Iterator[ScriptedStore]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = store.next_answer()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        store = ScriptedStore(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield store
        server.shutdown()
        thread.join(10)


def listing(*keys: str, truncated: bool = False, token: str = "", etag: str = "e") -> str:
    objects = "".join(
        f"<Contents><Key>{key}</Key><Size>3</Size><LastModified>2026-03-01T00:00:00.789Z"
        f"</LastModified>{f'<ETag>&quot;{etag}&quot;</ETag>' if etag else ''}</Contents>"
        for key in keys
    )
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return (
        f"<ListBucketResult><Name>b</Name><IsTruncated>{str(truncated).lower()}</IsTruncated>"
        f"{following}{objects}</ListBucketResult>"
    )


def refusal(code: str) -> str:
    return f"<Error><Code>{code}</Code><Message>Because.</Message></Error>"


def test_a_listing_that_goes_round_in_a_circle_is_an_error(scripted_store: ScriptedStore) -> None:
    scripted_store.says(listing("in/a", truncated=True, token="one"))
    scripted_store.says(listing("in/b", truncated=True, token="two"))
    scripted_store.says(listing("in/a", truncated=True, token="one"))
    with pytest.raises(SourceUnavailable, match="the listing does not end"):
        listed(source_at(scripted_store.endpoint))
    assert scripted_store.asked == 3


def test_a_listing_that_stops_half_way_is_an_error(scripted_store: ScriptedStore) -> None:
    scripted_store.says(listing("in/a", truncated=True))
    with pytest.raises(SourceUnavailable, match="the listing does not end"):
        listed(source_at(scripted_store.endpoint))


@pytest.mark.parametrize("body", ["<html><body>Log in</body></html>", ""])
def test_a_proxy_s_page_is_not_an_empty_listing(scripted_store: ScriptedStore, body: str) -> None:
    scripted_store.says(body)
    with pytest.raises(SourceUnavailable, match="the answer is not a listing"):
        listed(source_at(scripted_store.endpoint))


def test_a_body_that_is_no_xml_is_an_error(scripted_store: ScriptedStore) -> None:
    scripted_store.says("not xml at all")
    with pytest.raises(SourceError, match="of spec 'orders'"):
        listed(source_at(scripted_store.endpoint))


def test_a_busy_store_is_tried_again(scripted_store: ScriptedStore) -> None:
    scripted_store.says(refusal("SlowDown"), 503)
    scripted_store.says(refusal("InternalError"), 500)
    scripted_store.says(listing("in/a"))
    assert names(source_at(scripted_store.endpoint)) == ["a"]
    assert scripted_store.asked == 3


def test_a_store_that_stays_busy_is_unavailable(scripted_store: ScriptedStore) -> None:
    scripted_store.says(refusal("SlowDown"), 503)
    with pytest.raises(SourceUnavailable, match=r"SlowDown: Because\)\n.*Try again later"):
        listed(source_at(scripted_store.endpoint))
    assert scripted_store.asked == 5


@pytest.mark.parametrize(
    ("code", "status", "kind", "message"),
    [
        ("ExpiredToken", 400, SourceAccessDenied, "renew them"),
        ("InvalidToken", 400, SourceAccessDenied, "session_token"),
        ("RequestTimeTooSkewed", 403, SourceAccessDenied, "clock"),
        ("Whatever", 401, SourceAccessDenied, "s3:ListBucket"),
        ("TooManyRequests", 429, SourceUnavailable, "too busy"),
        ("AuthorizationHeaderMalformed", 400, SourceNotFound, "not in this region.*\n.*region"),
        ("InvalidBucketName", 400, SourceNotFound, "cannot be a bucket's name"),
        ("MethodNotAllowed", 405, SourceError, "refuses.*HTTP 405.*\n.*path_style"),
    ],
)
def test_every_refusal_says_what_to_do(
    scripted_store: ScriptedStore, code: str, status: int, kind: type[SourceError], message: str
) -> None:
    scripted_store.says(refusal(code), status)
    with pytest.raises(SourceError, match=message) as caught:
        listed(source_at(scripted_store.endpoint))
    assert type(caught.value) is kind


def test_an_object_without_an_etag_is_listed_as_unusable(scripted_store: ScriptedStore) -> None:
    scripted_store.says(listing("in/a", etag=""))
    (ref,) = listed(source_at(scripted_store.endpoint))
    assert "no etag" in (ref.unusable or "")


def test_a_store_that_ignores_the_version_is_found_out(scripted_store: ScriptedStore) -> None:
    scripted_store.says(listing("in/a"))
    scripted_store.says(b"new", ETag='"other"')
    source = source_at(scripted_store.endpoint)
    (ref,) = listed(source)
    with pytest.raises(FileChanged, match="was replaced or deleted"):
        source.open(ref)


def test_a_store_that_ignores_the_range_is_found_out(scripted_store: ScriptedStore) -> None:
    scripted_store.says(listing("in/a"))
    scripted_store.says(b"abc", ETag='"e"')
    source = source_at(scripted_store.endpoint)
    (ref,) = listed(source)
    with pytest.raises(SourceUnavailable, match="3 bytes where 1 were asked for"):
        source.open(ref, 1, 1)


def test_a_range_outside_of_what_is_there_is_a_changed_file(scripted_store: ScriptedStore) -> None:
    scripted_store.says(listing("in/a"))
    scripted_store.says(refusal("InvalidRange"), 416)
    source = source_at(scripted_store.endpoint)
    (ref,) = listed(source)
    with pytest.raises(FileChanged):
        source.open(ref, 1, 1)


def test_an_archived_object_says_so(scripted_store: ScriptedStore) -> None:
    scripted_store.says(listing("in/a"))
    scripted_store.says(refusal("InvalidObjectState"), 403)
    source = source_at(scripted_store.endpoint)
    (ref,) = listed(source)
    with pytest.raises(SourceError, match=r"archived.*\n  -> Restore it") as caught:
        source.open(ref)
    assert type(caught.value) is SourceError


def test_a_connection_that_breaks_within_an_object_is_an_error(
    scripted_store: ScriptedStore,
) -> None:
    scripted_store.says(listing("in/a"))
    scripted_store.says(b"a", ETag='"e"', Content_Length="3")
    source = source_at(scripted_store.endpoint)
    (ref,) = listed(source)
    with source.open(ref) as stream, pytest.raises(SourceUnavailable, match=r"in/a .*'orders'"):
        stream.read()


# --- Spark --------------------------------------------------------------------------------------

S3A = "org.apache.hadoop.fs.s3a"


def spark_options(keys: ResolvedS3Connection | None) -> dict[str, str]:
    return S3FileSource("s3://b/in/", FileFilter(), "orders", keys).spark_options()


def test_spark_gets_the_keys_for_this_bucket_alone() -> None:
    assert spark_options(connection("http://127.0.0.1:9000", "key", "secret")) == {
        "fs.s3a.bucket.b.access.key": "key",
        "fs.s3a.bucket.b.secret.key": "secret",
        "fs.s3a.bucket.b.aws.credentials.provider": f"{S3A}.SimpleAWSCredentialsProvider",
        "fs.s3a.bucket.b.endpoint": "http://127.0.0.1:9000",
        "fs.s3a.bucket.b.endpoint.region": "us-east-1",
        "fs.s3a.bucket.b.path.style.access": "true",
        "fs.s3a.impl.disable.cache": "true",
    }


def test_spark_gets_a_session_token(no_aws_settings: Path) -> None:
    options = spark_options(
        connection(None, "key", "secret", "token", region="eu-west-1", path_style=False)
    )
    assert options == {
        "fs.s3a.bucket.b.access.key": "key",
        "fs.s3a.bucket.b.secret.key": "secret",
        "fs.s3a.bucket.b.session.token": "token",
        "fs.s3a.bucket.b.aws.credentials.provider": f"{S3A}.TemporaryAWSCredentialsProvider",
        "fs.s3a.bucket.b.endpoint.region": "eu-west-1",
        "fs.s3a.bucket.b.path.style.access": "false",
        "fs.s3a.impl.disable.cache": "true",
    }


def test_spark_gets_the_keys_that_a_profile_stands_for(no_aws_settings: Path) -> None:
    no_aws_settings.write_text("[p]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    options = spark_options(connection("http://127.0.0.1:9000", None, None, profile="p"))
    assert options["fs.s3a.bucket.b.access.key"] == "key"
    assert options["fs.s3a.bucket.b.secret.key"] == "secret"
    assert options["fs.s3a.impl.disable.cache"] == "true"


def test_a_profile_without_keys_is_denied(no_aws_settings: Path) -> None:
    (no_aws_settings.parent / "config").write_text("[profile p]\nregion = eu-west-1\n")
    with pytest.raises(SourceAccessDenied, match="no usable credentials"):
        spark_options(connection("http://127.0.0.1:9000", None, None, profile="p"))


def test_spark_reads_a_public_bucket_unsigned() -> None:
    options = spark_options(connection("http://127.0.0.1:9000", None, None, anonymous=True))
    provider = options["fs.s3a.bucket.b.aws.credentials.provider"]
    assert provider == f"{S3A}.AnonymousAWSCredentialsProvider"
    assert options["fs.s3a.impl.disable.cache"] == "true"


def test_without_a_connection_spark_finds_credentials_itself(no_aws_settings: Path) -> None:
    assert spark_options(None) == {
        "fs.s3a.bucket.b.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        )
    }


# --- imports ------------------------------------------------------------------------------------


def test_a_source_is_made_without_importing_the_sdk() -> None:
    program = (
        "import sys\n"
        "import autoloader_dagster.sources.registry\n"
        "from autoloader_dagster.sources.s3.source import S3FileSource\n"
        "from autoloader_dagster.sources.filters import FileFilter\n"
        "S3FileSource('s3://b/', FileFilter(), 'x')\n"
        "sys.exit(bool({'boto3', 'botocore', 'urllib3'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0
