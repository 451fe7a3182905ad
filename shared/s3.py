"""The object store on any S3 server. The only file that imports boto3.

boto3 retries what may pass a few times; what then remains is one of our errors, without credentials in it. Bytes
are compared end to end, both ways, as far as the server's tags allow: not every server checks what it is sent.
"""

from __future__ import annotations

import hashlib
import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import ConnectionError as NoConnectionError

from shared.errors import BadSetting, ObjectMissing, StoreUnavailable
from shared.store import check_key, check_prefix, missing

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectTypeDef

_log = logging.getLogger(__name__)
_CUT_SHORT = (IncompleteReadError, ReadTimeoutError, ResponseStreamingError)
_NO_ANSWER = (NoConnectionError, HTTPClientError, *_CUT_SHORT)
_TRIES = 3
_NOTHING_THERE = {"NoSuchKey", "404", "NotFound"}
_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}
_ALTERED = {"BadDigest", "XAmzContentSHA256Mismatch"}
_TRY_AGAIN = {
    "BadDigest", "BadRequest", "IncompleteBody", "InvalidDigest", "OperationAborted", "RequestTimeTooSkewed",
    "RequestTimeout", "SlowDown", "Throttling", "XAmzContentSHA256Mismatch",
}  # fmt: skip


def make_client(endpoint: str, region: str, *, answer_seconds: float = 30) -> S3Client:
    """An S3 client that gives up after four tries, each with bounded waits; safe for threads.

    endpoint: URL of the server; empty means AWS. answer_seconds: longest silence of the server within one try.
    Credentials are read where boto3 reads them. Raises BadSetting.
    """
    config = Config(
        # since boto3 1.36 the default is a trailing checksum, which other servers refuse or store in the object
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=5,
        read_timeout=answer_seconds,
        max_pool_connections=32,
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    try:
        return Session().client("s3", endpoint_url=endpoint or None, region_name=region, config=config)
    except (BotoCoreError, ValueError) as error:  # ValueError: an endpoint that is no URL
        raise BadSetting(
            f"no S3 client can be made: {error}", "the URL of a server", "check SAMESKY_S3_ENDPOINT"
        ) from error


class S3Store:
    """Objects in a bucket, under a prefix (empty, or names separated by `/`)."""

    def __init__(self, bucket: str, prefix: str, client: S3Client) -> None:
        self._bucket, self._client = bucket, client
        self._prefix = f"{check_key(prefix)}/" if prefix else ""
        self._tags_are_md5 = True

    def prepare(self) -> None:
        """Create the bucket, when there is none."""
        with self._answering(""):
            try:
                self._client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                if _code(error) not in _NOTHING_THERE | {"NoSuchBucket"}:
                    raise
                self._create_bucket()

    def put(self, key: str, data: bytes) -> None:
        """See `ObjectStore.put`. What came otherwise than it was sent is sent again, and does not stay."""
        altered = False
        for _ in range(_TRIES):
            with self._answering(key):
                tag = self._send(key, data)
            if tag is not None and self._stored(key, data, tag):
                return
            altered = altered or tag is not None
            _log.warning("other bytes came to %s than were sent; they are sent again", key)
        if altered:
            self.delete(key)  # else what nobody wrote would be the first manifest there, or a score
        raise _altered(key)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See `ObjectStore.put_if_absent`.

        The server is asked first, since some ignore the condition; and what is stored is compared, since a
        write whose answer was lost meets itself when it is tried again.
        """
        if self.exists(key):
            return self._holds(key, data)
        for _ in range(_TRIES):
            with self._answering(key):
                try:
                    tag = self._send(key, data, IfNoneMatch="*")
                except ClientError as error:
                    if _code(error) not in _TAKEN:
                        raise
                    return self._holds(key, data)
            if tag is None:
                continue  # nothing was stored, and another may be first now
            if not self._stored(key, data, tag):
                self.put(key, data)  # this call was first, and what came through is not what it sent
            return True
        raise _altered(key)

    def _send(self, key: str, data: bytes, **condition: Any) -> str | None:
        """Send an object once: the server's tag of it, or None when the server says that other bytes came."""
        digest = b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        try:
            answer = self._client.put_object(
                Bucket=self._bucket, Key=self._path(key), Body=data, ContentMD5=digest, **condition
            )
        except ClientError as error:
            if _code(error) not in _ALTERED:
                raise
            return None
        return answer.get("ETag", "")

    def get(self, key: str) -> bytes:
        """See `ObjectStore.get`.

        Where the server's tag of the object is not the MD5 of what came, it is read again, until two reads agree.
        """
        before: bytes | None = None
        for _ in range(_TRIES):
            data, tag = self._read(key)
            if not self._tags_are_md5 or tag == _md5(data) or data == before:
                return data
            before = data
        raise StoreUnavailable(
            f"the S3 server gives other bytes for {key} each time",
            "the same bytes",
            "look at the network to the server",
        )

    def _read(self, key: str) -> tuple[bytes, str]:
        for last in (False, False, True):  # boto3 tries requests again, but not the reading of a body
            with self._answering(key):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._path(key))
                try:
                    return answer["Body"].read(), answer.get("ETag", "")
                except _CUT_SHORT:
                    if last:
                        raise
        raise AssertionError("unreachable")

    def _stored(self, key: str, data: bytes, tag: str) -> bool:
        """Whether the object that was just put, and that the server gave `tag`, is `data`."""
        compared = tag == _md5(data)
        if not compared and self.get(key) != data:
            return False
        # What was just put tells how this server makes tags, as one that was copied here does not: AWS with KMS makes
        # none to compare with.
        self._tags_are_md5 = compared
        return True

    def exists(self, key: str) -> bool:
        """See `ObjectStore.exists`."""
        with self._answering(key):
            try:
                self._client.head_object(Bucket=self._bucket, Key=self._path(key))
            except ClientError as error:
                if _code(error) in _NOTHING_THERE:
                    return False
                raise
        return True

    def keys(self, prefix: str) -> Iterator[str]:
        """See `ObjectStore.keys`. The order is made here: AWS directory buckets list in none."""
        return (key for key, _ in self.tags(prefix, ""))

    def tags(self, prefix: str, ending: str) -> Iterator[tuple[str, str]]:
        """See `ObjectStore.tags`. Of a server that lists no ETag, time and size tell."""
        check_prefix(prefix)
        return iter(sorted(pair for pair in self._list(prefix) if pair[0].endswith(ending)))

    def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        if not self.exists(key):  # rclone 1.75 answers 500 when asked to delete what only begins other keys
            return
        with self._answering(key):
            self._client.delete_object(Bucket=self._bucket, Key=self._path(key))

    def _path(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.get(key) == data
        except ObjectMissing as error:
            raise StoreUnavailable(
                f"{key} was being changed by another writer", "an object that stays", "try again"
            ) from error

    def _list(self, prefix: str) -> list[tuple[str, str]]:
        with self._answering(prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            found = [(entry.get("Key", ""), _tag(entry)) for page in pages for entry in page.get("Contents", [])]
        if not all(path.startswith(self._prefix + prefix) for path, _ in found):
            raise StoreUnavailable(
                f"the S3 server lists other keys than those under {prefix}",
                "what it was asked for",
                "look at the network to the server",
            )
        return [(path.removeprefix(self._prefix), tag) for path, tag in found]

    def _create_bucket(self) -> None:
        region = self._client.meta.region_name
        try:
            if region == "us-east-1":  # AWS refuses this region by name
                self._client.create_bucket(Bucket=self._bucket)
            else:
                self._client.create_bucket(
                    Bucket=self._bucket,
                    CreateBucketConfiguration={"LocationConstraint": region},  # type: ignore[typeddict-item]
                )
        except ClientError as error:
            if _code(error) not in ("BucketAlreadyOwnedByYou", "BucketAlreadyExists"):
                raise
            self._client.head_bucket(Bucket=self._bucket)  # another process was first, or it is a stranger's

    @contextmanager
    def _answering(self, key: str) -> Iterator[None]:
        try:
            yield
        except ClientError as error:
            raise self._explained(error, key) from error
        except _NO_ANSWER as error:
            raise StoreUnavailable(
                f"the S3 server did not answer: {error}",
                "a server that answers",
                "check that it runs, and SAMESKY_S3_ENDPOINT",
            ) from error
        except BotoCoreError as error:
            raise BadSetting(
                f"S3 cannot be used: {error}",
                "credentials and a region",
                "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and SAMESKY_S3_REGION",
            ) from error

    def _explained(self, error: ClientError, key: str) -> Exception:
        code, operation = _code(error), error.operation_name
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code == "NoSuchKey":
            return missing(key)
        unread = (
            operation == "GetObject" and status == 404 and code != "NoSuchBucket"
        )  # an answer that was cut, or bent
        if status >= 500 or status == 429 or code in _TRY_AGAIN or unread:
            return StoreUnavailable(
                f"the S3 server failed at {operation} with {status} {code}", "success", "look at the server's log"
            )
        return BadSetting(
            f"the S3 server refused {operation} in bucket {self._bucket}: {status} {code}",
            "a bucket that these credentials may read and write",
            "check SAMESKY_STORE_URL, SAMESKY_S3_ENDPOINT, SAMESKY_S3_REGION and the AWS credentials",
        )


def _tag(entry: ObjectTypeDef) -> str:
    """What a listing tells of an object's bytes."""
    tag = entry.get("ETag") or entry.get("LastModified")
    return f"{tag}-{entry.get('Size', 0):x}"


def _md5(data: bytes) -> str:
    """The tag that most S3 servers give to an object put in one piece."""
    return f'"{hashlib.md5(data, usedforsecurity=False).hexdigest()}"'


def _altered(key: str) -> StoreUnavailable:
    return StoreUnavailable(
        f"the S3 server keeps other bytes at {key} than it is sent",
        "the bytes that were sent",
        "look at the network between here and the server, and at its disks",
    )


def _code(error: ClientError) -> str:
    return error.response.get("Error", {}).get("Code", "")
