"""Which partition a file belongs to, in the keys that Dagster uses for the same windows."""

from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.specs.model import IngestionSpec
from autoloader_dagster.specs.table import Partition
from autoloader_dagster.state.moments import storable
from autoloader_dagster.state.records import NO_PARTITION, Fits, Placement

KEY_FORMATS = {"hour": "%Y-%m-%d-%H:%M", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m-%d"}

# Dagster keeps a list of keys as text with commas, and shows '...' as a range.
_NOT_IN_A_KEY = (",", "...", "\n", "\t")


def window_start(moment: datetime, every: str) -> datetime:
    """The start of the hour, day, week (Monday) or month around a local time."""
    if every == "hour":
        return moment.replace(minute=0, second=0, microsecond=0)
    day = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if every == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if every == "month" else day


def first_window(partition: Partition) -> datetime:
    """The start of the window that ``partition.start`` lies in, as a naive local time."""
    start = datetime.combine(partition.first_day, datetime.min.time())
    return window_start(start, partition.every)


def key_of(moment: datetime, every: str) -> str:
    """The partition key of the window around a naive local time."""
    return window_start(moment, every).strftime(KEY_FORMATS[every])


def fitting(spec: IngestionSpec) -> Fits:
    """A function that says whether a partition key is one of the spec's partitions.

    A key is kept with its file, and the spec may be changed while the file waits.
    """
    partition = spec.partition
    if partition.kind == "none":
        return lambda key: key is None
    if partition.kind == "key":
        return lambda key: key is not None and not any(part in key for part in _NOT_IN_A_KEY)
    first = first_window(partition)

    def fits(key: str | None) -> bool:
        try:
            moment = datetime.strptime(key or "", KEY_FORMATS[partition.every])
        except ValueError:
            return False
        return moment >= first and key_of(moment, partition.every) == key

    return fits


def placer(spec: IngestionSpec, now: datetime | None = None) -> Callable[[FileRef], Placement]:
    """A function that says where a new file belongs, and whether it must wait.

    Args:
        spec: The ingestion.
        now: Aware; files of windows that begin later than this are held. Default: the clock.
    """
    place = _placer_of_usable(spec, now)
    return lambda ref: (
        Placement(None, "QUARANTINED", "UnusableFile", ref.unusable) if ref.unusable else place(ref)
    )


def _placer_of_usable(spec: IngestionSpec, now: datetime | None) -> Callable[[FileRef], Placement]:
    partition = spec.partition
    if partition.kind == "none":
        return lambda ref: Placement(partition_key=None, status="DISCOVERED")
    if partition.kind == "key":
        return lambda ref: _place_by_name(ref, partition)
    zone = ZoneInfo(partition.timezone)
    local_now = (now or datetime.now(timezone.utc)).astimezone(zone).replace(tzinfo=None)
    first = first_window(partition)

    def place(ref: FileRef) -> Placement:
        if partition.by == "path":
            moment = partition.path_pattern.time(ref.relative_path)
            if moment is None:
                return _no_partition(ref, partition)
        else:
            moment = storable(ref.modified_at).astimezone(zone).replace(tzinfo=None)
        key = key_of(moment, partition.every)
        if window_start(moment, partition.every) < first:
            return Placement(
                partition_key=key,
                status="HELD",
                error_type="BeforeStart",
                reason=f"{ref.relative_path} is dated {moment.date()}, before the first "
                f"partition; {_how_to_load(moment.date(), partition)}",
            )
        if window_start(moment, partition.every) > local_now:
            return Placement(
                partition_key=key,
                status="HELD",
                error_type="InTheFuture",
                reason=f"{ref.relative_path} is dated {moment:%Y-%m-%d %H:%M}, in the future "
                f"({partition.timezone}); it is loaded when that time has come",
            )
        return Placement(partition_key=key, status="DISCOVERED")

    return place


def _how_to_load(day: date, partition: Partition) -> str:
    if day < partition.earliest:
        return (
            f"no partition begins before {partition.earliest}; correct the date in its path, or "
            "leave the file out with source.exclude"
        )
    return f"set partition.start to {day} or earlier to load it"


def _place_by_name(ref: FileRef, partition: Partition) -> Placement:
    key = partition.path_pattern.key(ref.relative_path)
    if key is None:
        return _no_partition(ref, partition)
    if any(sign in key for sign in _NOT_IN_A_KEY):
        return Placement(
            partition_key=None,
            status="QUARANTINED",
            error_type=NO_PARTITION,
            reason=f"the key {key!r} in {ref.relative_path} holds a comma, '...', a tab or a line "
            "break, which Dagster cannot have in a partition key; rename the file",
        )
    return Placement(partition_key=key, status="DISCOVERED")


def _no_partition(ref: FileRef, partition: Partition) -> Placement:
    return Placement(
        partition_key=None,
        status="QUARANTINED",
        error_type=NO_PARTITION,
        reason=f"{ref.relative_path} does not match partition.pattern '{partition.pattern}'; "
        "correct the pattern, or leave the file out with source.exclude",
    )
