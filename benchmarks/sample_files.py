"""The files that the benchmarks load, the same for the same arguments: orders, and audit trails."""

import gzip
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

HEADER = "id,customer,country,quantity,amount,placed_at,note"
# As the loader infers them, and as the peers are told.
TYPES = (
    "id bigint, customer string, country string, quantity bigint, amount double, "
    "placed_at timestamp, note string"
)
FIRST_DAY = datetime(2026, 1, 1)
# An event of an audit trail, as the loader infers it: what is nested stays JSON text.
EVENT_TYPES = (
    "eventVersion string, userIdentity string, eventTime timestamp, eventSource string, "
    "eventName string, awsRegion string, sourceIPAddress string, userAgent string, "
    "requestParameters string, responseElements string, requestID string, eventID string, "
    "readOnly boolean, eventType string, managementEvent boolean, recipientAccountId string, "
    "eventCategory string, tlsDetails string, resources string, "
    "sessionCredentialFromConsole string, additionalEventData string, errorCode string, "
    "errorMessage string, vpcEndpointId string, sharedEventID string, apiVersion string"
)
# The kinds of files that orders can be written as.
KINDS = ("csv", "json", "parquet")
_DIFFERENT_ROWS = 1 << 16
_DIFFERENT_EVENTS = 1 << 12
_COUNTRIES = ("DE", "FR", "IT", "PL", "US")


@dataclass(frozen=True, slots=True)
class Files:
    """Files that were made.

    Attributes:
        folder: Where they are: below a folder a day, ``day=2026-01-01``.
        paths: All of them.
        rows: Rows in all of them.
        bytes: Size of all of them.
    """

    folder: Path
    paths: tuple[Path, ...]
    rows: int
    bytes: int


def make_files(folder: Path, count: int, size: int, days: int = 1) -> Files:
    """Make CSV files.

    Args:
        folder: Where to.
        count: How many.
        size: Bytes of each, about.
        days: Over so many days they are spread.
    """
    tails = list(_tails())
    paths: list[Path] = []
    rows = total = 0
    for number in range(count):
        path = _place(folder, number, days, "orders_{:05d}.csv")
        written = 0
        with path.open("w", encoding="ascii", newline="\n") as file:
            written += file.write(HEADER + "\n")
            while written < size:
                until = rows + min(_DIFFERENT_ROWS, max((size - written) // 75, 1))
                written += file.write(
                    "".join(f"{i},{tails[i % _DIFFERENT_ROWS]}" for i in range(rows, until))
                )
                rows = until
        total += written
        paths.append(path)
    return Files(folder, tuple(paths), rows, total)


def converted(files: Files, folder: Path, kind: str) -> Files:
    """The same orders in files of another kind: ``json`` for JSON lines, or ``parquet``."""
    paths, size = [], 0
    for path in files.paths:
        target = (folder / path.relative_to(files.folder)).with_suffix(f".{kind}")
        target.parent.mkdir(parents=True, exist_ok=True)
        as_text = csv.ConvertOptions(column_types={"note": pa.string()})
        blocks = csv.open_csv(path, convert_options=as_text)
        if kind == "parquet":
            with pq.ParquetWriter(target, blocks.schema) as writer:
                for block in blocks:
                    writer.write_batch(block)
        else:
            with target.open("w", encoding="utf-8") as lines:
                for block in blocks:
                    lines.writelines(
                        f"{json.dumps(row, default=str)}\n" for row in block.to_pylist()
                    )
        paths.append(target)
        size += target.stat().st_size
    return Files(folder, tuple(paths), files.rows, size)


def _place(folder: Path, number: int, days: int, name: str) -> Path:
    """Where a file goes, in the folder of its day."""
    day = FIRST_DAY + timedelta(days=number % days)
    path = folder / f"day={day:%Y-%m-%d}" / name.format(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _tails() -> Iterator[str]:
    """Rows without their first cell, as many as a file is likely to repeat them after."""
    chance = random.Random(20260101)
    notes = ("", "", "", "gift", "fragile", '"leave at door, please"')
    for _ in range(_DIFFERENT_ROWS):
        placed = FIRST_DAY + timedelta(seconds=chance.randrange(365 * 86400))
        yield (
            f"customer-{chance.randrange(1_000_000):06d},{chance.choice(_COUNTRIES)},"
            f"{chance.randrange(1, 50)},{chance.randrange(100, 1_000_000) / 100},"
            f"{placed:%Y-%m-%d %H:%M:%S},{chance.choice(notes)}\n"
        )


def make_trails(folder: Path, count: int, records: int, days: int = 1) -> Files:
    """Make deliveries of an audit trail: gzipped documents, each with its events in an array.

    Args:
        folder: Where to.
        count: How many.
        records: Events in each.
        days: Over so many days they are spread.

    Returns:
        The files; their size is that of the JSON in them.
    """
    chance = random.Random(20260102)
    events = [_event(chance) for _ in range(_DIFFERENT_EVENTS)]
    # Every key is in the first delivery.
    events[0] |= dict.fromkeys(_RARE, "x")
    paths: list[Path] = []
    rows = total = 0
    for number in range(count):
        path = _place(folder, number, days, "trail_{:05d}.json.gz")
        chosen = [events[0], *chance.choices(events, k=records - 1)]
        text = ",".join(
            json.dumps(event | {"eventID": f"{number:08x}-{i:04x}"}, separators=(",", ":"))
            for i, event in enumerate(chosen)
        )
        document = f'{{"Records":[{text}]}}'.encode()
        path.write_bytes(gzip.compress(document, 6, mtime=0))
        rows += records
        total += len(document)
        paths.append(path)
    return Files(folder, tuple(paths), rows, total)


_RARE = ("errorCode", "errorMessage", "vpcEndpointId", "sharedEventID", "apiVersion")


def _event(chance: random.Random) -> dict[str, object]:
    user = f"user{chance.randrange(500)}"
    account = f"{chance.randrange(10**11, 10**12)}"
    service = chance.choice(("ec2", "s3", "sts", "kms", "lambda"))
    happened = FIRST_DAY + timedelta(seconds=chance.randrange(86400))
    event: dict[str, object] = {
        "eventVersion": "1.08",
        "userIdentity": {
            "type": "IAMUser",
            "principalId": f"AIDA{chance.randrange(10**16):016d}",
            "arn": f"arn:aws:iam::{account}:user/{user}",
            "accountId": account,
            "userName": user,
            "sessionContext": {
                "sessionIssuer": {},
                "attributes": {
                    "creationDate": f"{happened:%Y-%m-%dT%H:%M:%SZ}",
                    "mfaAuthenticated": "true",
                },
            },
        },
        "eventTime": f"{happened:%Y-%m-%dT%H:%M:%SZ}",
        "eventSource": f"{service}.amazonaws.com",
        "eventName": chance.choice(("DescribeInstances", "GetObject", "AssumeRole", "Decrypt")),
        "awsRegion": chance.choice(("us-east-1", "eu-central-1")),
        "sourceIPAddress": f"10.{chance.randrange(256)}.{chance.randrange(256)}.7",
        "userAgent": "aws-cli/2.13.5 Python/3.11.4 Linux/4.14.255 exe/x86_64 prompt/off command/x",
        "requestParameters": {
            "filterSet": {"items": [{"name": "state", "value": chance.randrange(99)}]},
            "maxResults": chance.randrange(1000),
            "bucketName": f"bucket-{chance.randrange(1000)}",
            "key": f"exports/{chance.randrange(10**12)}/part-{chance.randrange(10**5):05d}.parquet",
        },
        "responseElements": None,
        "requestID": f"{chance.randrange(16**32):032x}",
        "eventID": "",
        "readOnly": chance.random() < 0.7,
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": account,
        "eventCategory": "Management",
        "tlsDetails": {
            "tlsVersion": "TLSv1.3",
            "cipherSuite": "TLS_AES_128_GCM_SHA256",
            "clientProvidedHostHeader": f"{service}.us-east-1.amazonaws.com",
        },
        "resources": [{"accountId": account, "type": "AWS::S3::Object", "ARN": f"arn:{user}"}],
        "sessionCredentialFromConsole": "true",
        "additionalEventData": {"bytesTransferredIn": 0, "bytesTransferredOut": 1234},
    }
    if chance.random() < 0.1:
        event |= {"errorCode": "AccessDenied", "errorMessage": f"User {user} may not do this"}
    return event
