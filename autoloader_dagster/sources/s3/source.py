"""Files below a prefix of an S3 bucket, on Amazon's service or any store that speaks its protocol.

The SDK is imported when a source is first used, so that loading the definitions stays fast.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from threading import Lock
from typing import IO, Any

from autoloader_dagster.errors import FileChanged, SourceError, SourceUnavailable
from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.s3.client import Patience, S3Access
from autoloader_dagster.sources.s3.connection import ResolvedS3Connection
from autoloader_dagster.sources.s3.errors import S3Place, told_as_source_errors
from autoloader_dagster.sources.stream import open_stream

_STAT_THREADS = 16
_PATIENCE = Patience()


class S3FileSource:
    """A prefix of a bucket, or one object.

    The url ``s3://bucket/covid`` means what is below ``covid/``, never ``covid2/``; only if there
    is nothing below it and an object has exactly this key, it means that object. Times are whole
    seconds, because that is all that a store says when it is asked about one object.

    Args:
        url: ``s3://bucket`` or ``s3://bucket/prefix/`` in raw characters.
        chosen: The spec's filters.
        spec: Name of the spec, for messages.
        connection: Endpoint and credentials; None for the SDK's own defaults.
        patience: How long to wait for the store.
    """

    read_in_place = True

    def __init__(
        self,
        url: str,
        chosen: FileFilter,
        spec: str,
        connection: ResolvedS3Connection | None = None,
        patience: Patience = _PATIENCE,
    ) -> None:
        self._bucket, _, key = url.removeprefix("s3://").partition("/")
        self._root = f"s3://{self._bucket}/"
        self._object_key = key if key and not key.endswith("/") else None
        self._prefix = f"{key}/" if self._object_key else key
        self._chosen = chosen
        self._connection = connection
        self._patience = patience
        self._place = S3Place(
            address=f"{self._root}{self._prefix}",
            endpoint=(connection.endpoint_url if connection else None) or "",
            connection=connection.name if connection else None,
            spec=spec,
        )
        self._access: S3Access | None = None
        self._lock = Lock()
        self._left_out = 0
        self._lists_by_folder = False

    @property
    def left_out(self) -> int:
        """Objects that the last listing met and the filters did not choose."""
        return self._left_out

    @property
    def lists_by_folder(self) -> bool:
        """Whether the last listing met no key that Hadoop resolves to another one."""
        return self._lists_by_folder

    def list_pages(self) -> Iterator[list[FileRef]]:
        """List in pages of the store's size (1,000 keys), in the store's order.

        Raises:
            SourceNotFound: There is no such bucket, or not in this region.
            SourceAccessDenied: The credentials are missing, wrong or not enough.
            SourceUnavailable: The store does not answer, fails, or does not answer with a listing.
            SourceError: The store refuses.

        An object whose key holds a NUL, or without an etag, is listed with ``unusable``.
        """
        empty = True
        self._left_out = 0
        self._lists_by_folder = False
        begin = self._prefix + self._chosen.prefix
        folder = begin[: begin.rfind("/") + 1]
        # Of a folder whose beginning alone is listed, the rest is asked for.
        resolved = _is_resolved(f"{begin}x") or (
            folder != begin and any(self._holds(f"{folder}{part}") for part in ("/", "./", "../"))
        )
        for objects in self._list(begin):
            empty = empty and not objects
            resolved = resolved or any(_is_resolved(listed["Key"]) for listed in objects)
            if page := self._choose(objects):
                yield page
        if empty and self._object_key and (page := self._choose_object(self._object_key)):
            yield page
        self._lists_by_folder = not resolved

    def stat(self, paths: Sequence[str]) -> dict[str, FileRef | None]:
        """Ask for these objects again, 16 at a time; None for one that is gone.

        A path that is not below the url has its base name as relative path.

        Raises:
            SourceNotFound: Objects are gone because the bucket is.
            SourceAccessDenied: The credentials are missing, wrong or not enough.
            SourceUnavailable: The store does not answer or fails.
        """
        with ThreadPoolExecutor(_STAT_THREADS, "s3-head") as threads:
            found = dict(zip(paths, threads.map(self._head, paths), strict=True))
        if None in found.values():
            # A HEAD has no body, so a missing bucket looks like a missing object; a listing tells.
            self._ask("list_objects_v2", self._place, Prefix=self._prefix, MaxKeys=1)
        return found

    def open(self, ref: FileRef, start: int = 0, length: int | None = None) -> IO[bytes]:
        """Open a byte range of exactly the listed version, by its etag.

        Args:
            ref: The listed version.
            start: First byte; a negative one counts from the end.
            length: Bytes at most; None for all up to the end.

        Raises:
            FileChanged: The object is gone or is not the listed version any more.
            SourceNotFound: The bucket is gone.
            SourceAccessDenied: The credentials do not permit it.
            SourceUnavailable: The store does not answer or fails; also while the bytes are read.
        """
        first = max(ref.size + start, 0) if start < 0 else min(start, ref.size)
        end = ref.size if length is None else min(first + length, ref.size)
        wanted: dict[str, str] = {"Key": self._key(ref.path), "IfMatch": f'"{ref.etag}"'}
        if first >= end:
            # No range says 'nothing', but the version is checked all the same.
            self._ask_for_version("head_object", ref, wanted)
            return io.BytesIO()
        if end - first < ref.size:
            wanted["Range"] = f"bytes={first}-{end - 1}"
        answer = self._ask_for_version("get_object", ref, wanted)
        if answer["ContentLength"] != end - first:
            answer["Body"].close()
            raise SourceUnavailable(
                f"{self._at(ref.path)}: the store answered with {answer['ContentLength']:,} bytes "
                f"where {end - first:,} were asked for",
                "The store, or a proxy before it, does not honour byte ranges.",
            )
        place = self._at(ref.path)
        return open_stream(
            answer["Body"],
            end - first,
            telling=partial(told_as_source_errors, place),
            cut_short=SourceUnavailable(f"{place}: the connection ended within the object"),
        )

    def spark_path(self, ref: FileRef) -> str:
        """``s3a://bucket/key`` with the raw characters of the key."""
        return f"s3a://{self._bucket}/{self._key(ref.path)}"

    def spark_options(self) -> dict[str, str]:
        """S3A's endpoint and credentials for this bucket; secrets in the clear, never to be logged.

        Raises:
            SourceAccessDenied: The connection's profile has no usable credentials.
        """
        access = self._open_access()
        with told_as_source_errors(self._place):
            return access.spark_options(self._bucket)

    def _list(self, prefix: str) -> Iterator[list[dict[str, Any]]]:
        """Pages of what the store lists. The SDK's paginator would trust any answer."""
        place = replace(self._place, address=f"{self._root}{prefix}")
        token: dict[str, str] = {}
        seen: set[str] = set()
        while True:
            answer = self._ask("list_objects_v2", place, Prefix=prefix, **token)
            if "IsTruncated" not in answer:
                raise SourceUnavailable(
                    f"{self._located(place)}: the answer is not a listing",
                    "Check that endpoint_url is an S3 server and that no proxy answers for it.",
                )
            yield answer.get("Contents", [])
            if not answer["IsTruncated"]:
                return
            following = answer.get("NextContinuationToken", "")
            if not following or following in seen:
                raise SourceUnavailable(
                    f"{self._located(place)}: the listing does not end, because the store does not "
                    "say where it goes on",
                    "Nothing was lost; if it stays so, it is a fault of the store.",
                )
            seen.add(following)
            token = {"ContinuationToken": following}

    def _holds(self, prefix: str) -> bool:
        return bool(self._ask("list_objects_v2", self._place, Prefix=prefix, MaxKeys=1)["KeyCount"])

    def _choose(self, objects: list[dict[str, Any]]) -> list[FileRef]:
        page: list[FileRef] = []
        for listed in objects:
            key: str = listed["Key"]
            # What consoles and Hadoop write for an empty folder.
            if key.endswith("/") and not listed["Size"]:
                continue
            relative_path = self._relative(key)
            if not relative_path or not self._chosen.accepts(relative_path):
                self._left_out += 1
                continue
            ref = self._ref(key, relative_path, listed, listed["Size"])
            if self._chosen.accepts_time(ref.modified_at):
                page.append(ref)
            else:
                self._left_out += 1
        return page

    def _choose_object(self, key: str) -> list[FileRef]:
        # Of all keys that begin with a key, the key itself is listed first.
        answer = self._ask("list_objects_v2", self._place, Prefix=key, MaxKeys=1)
        return self._choose([o for o in answer.get("Contents", []) if o["Key"] == key])

    def _head(self, path: str) -> FileRef | None:
        from botocore.exceptions import ClientError

        key = self._key(path)
        try:
            answer = self._ask("head_object", self._at(path), Key=key)
        except SourceError as error:
            if isinstance(error.__cause__, ClientError) and _status(error.__cause__) == 404:
                return None
            raise
        ref = self._ref(key, self._relative(key), answer, answer["ContentLength"])
        # Some clients leave the name of their way of sending in it.
        encodings = (e.strip() for e in answer.get("ContentEncoding", "").split(","))
        encoding = ", ".join(e for e in encodings if e not in ("", "aws-chunked", "identity"))
        return replace(ref, content_encoding=encoding or None)

    def _ask_for_version(self, operation: str, ref: FileRef, wanted: dict[str, str]) -> Any:
        from botocore.exceptions import ClientError

        changed = FileChanged(
            f"object {ref.path} of spec '{self._place.spec}' was replaced or deleted since it was "
            "listed"
        )
        try:
            answer = self._ask(operation, self._at(ref.path), **wanted)
        except SourceError as error:
            cause = error.__cause__
            # 416: a range of the listed version is outside of what is there.
            if isinstance(cause, ClientError) and (
                _status(cause) in (412, 416)
                or (_status(cause) == 404 and _code(cause) != "NoSuchBucket")
            ):
                raise changed from error
            raise
        # Some stores do not know If-Match.
        if _etag(answer) != ref.etag:
            if "Body" in answer:
                answer["Body"].close()
            raise changed
        return answer

    def _ask(self, operation: str, place: S3Place, **arguments: Any) -> Any:
        """Call the store; ``SourceError`` for whatever goes wrong, its cause the SDK's error."""
        access = self._open_access()
        with told_as_source_errors(self._located(place)):
            return getattr(access.client, operation)(Bucket=self._bucket, **arguments)

    def _open_access(self) -> S3Access:
        with self._lock:
            if self._access is None:
                with told_as_source_errors(self._place):
                    self._access = S3Access(self._connection, self._patience)
            return self._access

    def _at(self, path: str) -> S3Place:
        return self._located(replace(self._place, address=path))

    def _located(self, place: S3Place) -> S3Place:
        return replace(place, endpoint=self._access.endpoint) if self._access else place

    def _key(self, path: str) -> str:
        if not path.startswith(self._root):
            raise SourceError(
                f"{path} is not in {self._root} of spec '{self._place.spec}'",
                "The spec's url was changed; give the new bucket a spec of its own.",
            )
        return path[len(self._root) :]

    def _relative(self, key: str) -> str:
        if key.startswith(self._prefix):
            return key[len(self._prefix) :]
        return key.rsplit("/", 1)[-1]

    def _ref(self, key: str, relative_path: str, answer: Mapping[str, Any], size: int) -> FileRef:
        path = f"{self._root}{key}"
        etag = _etag(answer)
        unusable = None
        if "\0" in key:
            path, relative_path = (each.replace("\0", "\\x00") for each in (path, relative_path))
            unusable = "its key holds a NUL; rename it, or leave it out with source.exclude"
        elif not etag:
            unusable = "the store gives it no etag, so its versions cannot be told apart"
        modified: datetime = answer["LastModified"]
        modified_at = modified.astimezone(timezone.utc).replace(microsecond=0)
        return FileRef(
            path,
            relative_path,
            size,
            modified_at,
            version=etag or f"{size}-{modified_at:%Y%m%dT%H%M%S}",
            etag=etag or None,
            unusable=unusable,
        )


def _is_resolved(key: str) -> bool:
    """Whether a key has an empty part, '.' or '..', which Hadoop resolves."""
    if "//" not in key and "/." not in key and not key.startswith((".", "/")):
        return False
    return any(part in ("", ".", "..") for part in key.removesuffix("/").split("/"))


def _etag(answer: Mapping[str, Any]) -> str:
    return answer.get("ETag", "").strip('"')


def _status(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
