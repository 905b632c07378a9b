"""Step three: turn what is pending into few runs, each over a tight range of partitions."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from zoneinfo import ZoneInfo

from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.placement import (
    KEY_FORMATS,
    first_window,
    fitting,
    key_of,
    window_start,
)
from autoloader_dagster.specs.table import Partition
from autoloader_dagster.state.records import Batch, PendingPartition

# A run that fails leaves each partition of its range FAILED, so a range holds only partitions whose
# files wait. A run costs 4 to 8 s: where that makes more ranges than this, one run without a range
# loads them all.
_MOST_RANGES = 5
_SECONDS = {"hour": 3600, "day": 86400, "week": 7 * 86400, "month": 28 * 86400}


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One run to ask for.

    Attributes:
        first: First partition key of a range; None for a run without a range, which loads all that
            is pending.
        last: Last partition key.
        keys: The partitions that have pending files; none for an asset without partitions.
        files: Pending files.
        bytes: Their bytes.
        digest: The same for the same pending file versions in the same state, and for no other
            asset of the Dagster instance.
        changed_at: When one of the files last became pending; None if a batch that was left behind
            holds some of them.
    """

    first: str | None
    last: str | None
    keys: tuple[str, ...]
    files: int
    bytes: int
    digest: str
    changed_at: datetime | None = None


def plan_runs(
    ingestion: Ingestion,
    ended_runs: Collection[str] = (),
    key_order: Sequence[str] | None = None,
) -> list[RunPlan]:
    """The runs that would load everything that is pending or was left behind.

    Args:
        ingestion: What to plan for.
        ended_runs: Runs that have ended; a batch that such a run left open is planned as well.
        key_order: For named keys, the known keys in Dagster's order; a range goes by it.
    """
    pending = ingestion.store.files.pending(ingestion.id, ingestion.spec.errors.retries)
    stale = ingestion.store.batches.stale(ingestion.id, ended_runs=ended_runs)
    pending = _with_left_behind(pending, stale)
    if not pending:
        return []
    partition = ingestion.spec.partition
    if partition.kind == "none":
        return [_joined(ingestion, pending, keyed=False, ranged=False)]
    fits = fitting(ingestion.spec)
    fit = [each for each in pending if fits(each.partition_key)]
    if stale and not fit:
        # Any run settles what was left behind, and the next listing places its files again.
        key = _any_key(partition, key_order)
        fit = [replace(each, partition_key=key) for each in pending[:1] if key is not None]
    pending = fit
    if partition.kind == "key":
        place = {key: i for i, key in enumerate(key_order or ())}
        pending = sorted(pending, key=lambda p: place.get(p.partition_key or "", len(place)))
        groups = _adjacent(pending, place)
    else:
        pending = sorted(pending, key=lambda p: p.partition_key or "")
        groups = _consecutive(pending, partition.every)
    if len(groups) > _MOST_RANGES:
        return [_joined(ingestion, pending, ranged=False)]
    return [_joined(ingestion, group) for group in groups]


def _any_key(partition: Partition, key_order: Sequence[str] | None) -> str | None:
    """A partition that surely exists: the open window, or a known key."""
    if partition.kind == "key":
        return key_order[-1] if key_order else None
    local = datetime.now(timezone.utc).astimezone(ZoneInfo(partition.timezone))
    window = window_start(local.replace(tzinfo=None), partition.every)
    return key_of(window, partition.every) if window >= first_window(partition) else None


def _with_left_behind(
    pending: Sequence[PendingPartition], stale: Sequence[Batch]
) -> list[PendingPartition]:
    """Add the files of open batches whose worker is gone; the run that comes settles them first."""
    merged = {item.partition_key: item for item in pending}
    for batch in stale:
        for file in batch.files:
            known = merged.get(file.partition_key)
            merged[file.partition_key] = PendingPartition(
                partition_key=file.partition_key,
                files=1 + (known.files if known else 0),
                bytes=file.size + (known.bytes if known else 0),
                digest=f"{known.digest if known else ''}+{batch.batch_id}"
                if known is None or batch.batch_id not in known.digest
                else known.digest,
                oldest_modified_at=min(
                    file.modified_at, known.oldest_modified_at if known else file.modified_at
                ),
                changed_at=None,
            )
    return list(merged.values())


def _consecutive(pending: Sequence[PendingPartition], every: str) -> list[list[PendingPartition]]:
    groups: list[list[PendingPartition]] = []
    last: datetime | None = None
    for item in pending:
        at = datetime.strptime(item.partition_key or "", KEY_FORMATS[every])
        gap = (at - last).total_seconds() / _SECONDS[every] if last else None
        # A month has up to 31 days, and a day of 25 hours is one day.
        if gap is not None and gap < 1.5:
            groups[-1].append(item)
        else:
            groups.append([item])
        last = at
    return groups


def _adjacent(
    pending: Sequence[PendingPartition], place: dict[str, int]
) -> list[list[PendingPartition]]:
    groups: list[list[PendingPartition]] = []
    last: int | None = None
    for item in pending:
        # A key that Dagster does not know yet is added at the end, after the others.
        at = place.get(item.partition_key or "", len(place) if last is None else last + 1)
        if last is not None and at - last <= 1:
            groups[-1].append(item)
        else:
            groups.append([item])
        last = at
    return groups


def _joined(
    ingestion: Ingestion,
    group: Sequence[PendingPartition],
    *,
    keyed: bool = True,
    ranged: bool = True,
) -> RunPlan:
    keys = tuple(item.partition_key or "" for item in group)
    digest = hashlib.blake2b(digest_size=12)
    # The others count rows of the state, and other states have the same ones.
    digest.update(f"{ingestion.id} {ingestion.loaded.names.unique};".encode())
    for item in group:
        digest.update(f"{item.partition_key}={item.digest};".encode())
    changes = [item.changed_at for item in group]
    return RunPlan(
        first=keys[0] if ranged else None,
        last=keys[-1] if ranged else None,
        keys=keys if keyed else (),
        files=sum(item.files for item in group),
        bytes=sum(item.bytes for item in group),
        digest=digest.hexdigest(),
        changed_at=None if None in changes else max(filter(None, changes)),
    )
