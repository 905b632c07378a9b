"""Compares a listing with what is recorded and records what is new.

The listing is put into a temporary table and compared by one join; there is no query a file. What
the join leaves over is decided and written in chunks, each in a transaction of its own, so that a
first listing of a million files neither fills the memory nor keeps other writers out for long.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Integer,
    MetaData,
    Table,
    and_,
    exists,
    func,
    insert,
    or_,
    select,
    text,
)
from sqlalchemy.schema import CreateTable, DropTable

from autoloader_dagster.sources.base import FileRef
from autoloader_dagster.state.database import Database, now, one_of, write_transaction
from autoloader_dagster.state.listing import LISTING, listed_file, staged
from autoloader_dagster.state.models import StoredFile
from autoloader_dagster.state.rebuild import name_listed_versions
from autoloader_dagster.state.records import (
    FILE_GONE,
    LOADED_ELSEWHERE,
    NO_PARTITION,
    Discovery,
    FileStatus,
    Fits,
    Guard,
    OnChange,
    Place,
    no_guard,
)
from autoloader_dagster.state.transitions import add, move
from autoloader_dagster.state.version_rules import Decision, KnownVersion, decide

_CHUNK = 5_000
_WAITING = ("DISCOVERED", "FAILED")
_UNLISTED = "the source does not have it any more, or the spec does not choose it any more"
_SUPERSEDED = "a newer version of the file took its place before it was loaded"
# A version with one of these is placed where it is listed again, or left alone.
_PLACED_AGAIN: tuple[FileStatus, ...] = (
    "DISCOVERED",
    "HELD",
    "FAILED",
    "QUARANTINED",
    "REPLACED",
    "SKIPPED",
)
# The entries of the listing that need a decision.
_OPEN = Table(
    "autoloader_listing_open",
    MetaData(),
    Column("seq", Integer, primary_key=True),
    prefixes=["TEMPORARY"],
)


class FileDiscovery:
    """Records what listings of the sources show."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def discover(
        self,
        ingestion_id: str,
        tenant: str,
        pages: Iterable[Sequence[FileRef]],
        place: Place,
        on_change: OnChange = "ignore",
        fits: Fits = lambda key: True,
        *,
        complete: bool = False,
        guard: Guard = no_guard,
    ) -> Discovery:
        """Compare a listing of the source with what is recorded, and record what is new.

        Nothing is recorded before the listing is complete: what ``pages`` raises passes through and
        leaves the state as it was. No lock is held while the source is listed.

        A path keeps the partition of its first version. A version that was not loaded because of
        its place (HELD, or ``NoPartition``) is placed again each time it is listed, and so is one
        that waits in a partition that is none any more. A version that was skipped because the
        source did not have it is new when it is listed again.

        Args:
            ingestion_id: ``tenant/name``.
            tenant: The part before the slash, for filtering.
            pages: The listing; of two entries of one path the last one counts.
            place: Tells where a new version belongs; not asked where that is settled.
            on_change: What to do with a new version of a path that was loaded.
            fits: Tells whether a recorded partition is still one.
            complete: Whether the pages are all that the spec chooses. Then every version that
                waits, or was never placed, and whose path is not listed becomes SKIPPED.
            guard: Called before each step of recording; raises to record no more.
        """
        with self._database.connecting() as connection:
            with connection.begin():
                began = now(connection)
            with staged(connection, pages):
                guard()
                with write_transaction(connection, ingestion_id):
                    name_listed_versions(connection, ingestion_id)
                with connection.begin():
                    listed, bytes_listed = connection.execute(
                        select(func.count(), func.coalesce(func.sum(LISTING.c.size), 0))
                    ).one()
                    misplaced = _misplaced_keys(connection, ingestion_id, fits)
                    _collect_open(connection, ingestion_id, misplaced)
                guard()
                if complete:
                    _skip_unlisted(connection, ingestion_id, began)
                guard()
                _supersede_outdated(connection, ingestion_id, began)
                counts: Counter[str] = Counter()
                bytes_new = placed_again = 0
                last_seq = -1
                while refs := _next_chunk(connection, last_seq):
                    guard()
                    with write_transaction(connection, ingestion_id):
                        known = _known_versions(connection, ingestion_id, last_seq, max(refs), fits)
                        moment = now(connection)
                        decisions = {
                            seq: decide(ref, known.get(seq, ()), place, on_change, began, moment)
                            for seq, ref in refs.items()
                        }
                        _write(connection, ingestion_id, tenant, refs, known, decisions)
                    last_seq = max(refs)
                    placed_again += sum(
                        decision.outcome == "new" and decision.placed_again
                        for decision in decisions.values()
                    )
                    counts.update(decision.outcome for decision in decisions.values())
                    bytes_new += sum(
                        refs[seq].size
                        for seq, decision in decisions.items()
                        if decision.outcome in ("new", "changed")
                    )
                with connection.begin():
                    connection.execute(DropTable(_OPEN))
        counts["unchanged"] += int(listed) - counts.total()
        return Discovery(
            listed=int(listed),
            bytes_listed=int(bytes_listed),
            bytes_new=bytes_new,
            placed_again=placed_again,
            began=began,
            **counts,
        )


def _misplaced_keys(connection: Connection, ingestion_id: str, fits: Fits) -> list[str | None]:
    """The partitions of waiting files that the spec does not have any more."""
    keys = connection.scalars(
        select(StoredFile.partition_key)
        .where(StoredFile.ingestion_id == ingestion_id, StoredFile.status.in_(_WAITING))
        .distinct()
    )
    return [key for key in keys if not fits(key)]


def _waits_in(keys: Sequence[str | None], connection: Connection) -> ColumnElement[bool]:
    named = one_of(StoredFile.partition_key, [k for k in keys if k is not None], connection)
    chosen = or_(named, StoredFile.partition_key.is_(None)) if None in keys else named
    return and_(StoredFile.status.in_(_WAITING), chosen)


def _unlisted(ingestion_id: str, began: datetime) -> ColumnElement[bool]:
    """Selects the versions not yet loaded whose path a complete listing does not show.

    A file that is quarantined for itself is left to a person. One that was recorded after the
    listing had begun may only be too new for it.
    """
    unplaced = and_(
        StoredFile.status == "QUARANTINED",
        StoredFile.error_type.in_((NO_PARTITION, LOADED_ELSEWHERE)),
    )
    return and_(
        StoredFile.ingestion_id == ingestion_id,
        or_(StoredFile.status.in_((*_WAITING, "HELD")), unplaced),
        StoredFile.discovered_at < began,
        ~exists().where(LISTING.c.file_path == StoredFile.file_path),
    )


def _skip_unlisted(connection: Connection, ingestion_id: str, began: datetime) -> None:
    """Skip what the source does not have any more, or the spec does not choose any more.

    One that is listed later is new, and is placed as such.
    """
    unlisted = _unlisted(ingestion_id, began)
    with connection.begin():
        if connection.scalar(select(StoredFile.id).where(unlisted).limit(1)) is None:
            return
    with write_transaction(connection, ingestion_id):
        move(
            connection,
            unlisted,
            ("DISCOVERED", "HELD", "FAILED", "QUARANTINED"),
            "SKIPPED",
            now(connection),
            error_type=FILE_GONE,
            reason=_UNLISTED,
        )


def _collect_open(
    connection: Connection, ingestion_id: str, misplaced: Sequence[str | None]
) -> None:
    connection.execute(CreateTable(_OPEN))
    same_version = and_(
        StoredFile.ingestion_id == ingestion_id,
        StoredFile.file_path == LISTING.c.file_path,
        StoredFile.file_version == LISTING.c.version,
    )
    needs_decision = or_(
        StoredFile.id.is_(None),
        StoredFile.status.in_(("REPLACED", "HELD")),
        and_(StoredFile.status == "QUARANTINED", StoredFile.error_type == NO_PARTITION),
        and_(StoredFile.status == "SKIPPED", StoredFile.error_type == FILE_GONE),
    )
    if misplaced:
        needs_decision = or_(needs_decision, _waits_in(misplaced, connection))
    found = (
        select(LISTING.c.seq)
        .select_from(LISTING.outerjoin(StoredFile, same_version))
        .where(needs_decision)
    )
    connection.execute(insert(_OPEN).from_select(["seq"], found))
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"ANALYZE {_OPEN.name}"))


def _supersede_outdated(connection: Connection, ingestion_id: str, began: datetime) -> None:
    """Give up versions that wait to be loaded while the source holds another, known one again.

    That is a file that was changed and then changed back: nobody can read the waiting version.
    """
    outdated = (
        select(StoredFile.id)
        .join(LISTING, LISTING.c.file_path == StoredFile.file_path)
        .where(
            StoredFile.ingestion_id == ingestion_id,
            StoredFile.status.in_(("DISCOVERED", "FAILED")),
            StoredFile.discovered_at < began,
            LISTING.c.version != StoredFile.file_version,
            LISTING.c.seq.not_in(select(_OPEN.c.seq)),
        )
    )
    with connection.begin():
        ids = list(connection.scalars(outdated))
    if ids:
        with write_transaction(connection, ingestion_id):
            _supersede(connection, ids, now(connection))


def _next_chunk(connection: Connection, last_seq: int) -> dict[int, FileRef]:
    chunk = (
        select(LISTING)
        .join(_OPEN, _OPEN.c.seq == LISTING.c.seq)
        .where(_OPEN.c.seq > last_seq)
        .order_by(_OPEN.c.seq)
        .limit(_CHUNK)
    )
    with connection.begin():
        return {row.seq: listed_file(row) for row in connection.execute(chunk)}


def _known_versions(
    connection: Connection, ingestion_id: str, after_seq: int, to_seq: int, fits: Fits
) -> dict[int, list[KnownVersion]]:
    """Every recorded version of the chunk's paths, locked: no claim can take one meanwhile."""
    rows = connection.execute(
        select(
            LISTING.c.seq,
            StoredFile.id,
            StoredFile.file_version,
            StoredFile.status,
            StoredFile.error_type,
            StoredFile.reason,
            StoredFile.partition_key,
            StoredFile.discovered_at,
        )
        .join_from(LISTING, _OPEN, _OPEN.c.seq == LISTING.c.seq)
        .join(
            StoredFile,
            and_(
                StoredFile.ingestion_id == ingestion_id,
                StoredFile.file_path == LISTING.c.file_path,
            ),
        )
        .where(_OPEN.c.seq > after_seq, _OPEN.c.seq <= to_seq)
        .order_by(StoredFile.id)
        .with_for_update(of=StoredFile)
    )
    known: dict[int, list[KnownVersion]] = defaultdict(list)
    for seq, *version in rows:
        each = KnownVersion(*version)
        known[seq].append(replace(each, misplaced=not fits(each.partition_key)))
    return known


def _write(
    connection: Connection,
    ingestion_id: str,
    tenant: str,
    refs: Mapping[int, FileRef],
    known: Mapping[int, Sequence[KnownVersion]],
    decisions: Mapping[int, Decision],
) -> None:
    moment = now(connection)
    added: dict[FileStatus, list[dict[str, Any]]] = defaultdict(list)
    changed: dict[FileStatus, list[dict[str, Any]]] = defaultdict(list)
    superseded: list[int] = []
    for seq, decision in decisions.items():
        superseded += decision.superseded
        if decision.state is None:
            continue
        ref, state = refs[seq], decision.state
        own = next((each for each in known.get(seq, ()) if each.version == ref.version), None)
        values = {
            "file_size_bytes": ref.size,
            "file_modified_at": ref.modified_at,
            "file_etag": ref.etag,
            "partition_key": state.partition_key,
            "error_type": state.error_type,
            "reason": state.reason,
            "discovered_at": own.discovered_at if own and own.unplaced else moment,
        }
        if own:
            changed[state.status].append({**values, "row_id": own.id})
        else:
            identity = {
                "tenant": tenant,
                "ingestion_id": ingestion_id,
                "file_path": ref.path,
                "file_version": ref.version,
                "retry_count": 0,
                "created_at": moment,
                "updated_at": moment,
            }
            added[state.status].append({**values, **identity})
    if superseded:
        _supersede(connection, superseded, moment)
    for status, rows in changed.items():
        came_from = ("REPLACED", "SKIPPED") if status == "SKIPPED" else _PLACED_AGAIN
        move(connection, rows, came_from, status, moment)
    for status, rows in added.items():
        add(connection, status, rows)


def _supersede(connection: Connection, ids: Sequence[int], moment: datetime) -> None:
    move(
        connection,
        one_of(StoredFile.id, ids, connection),
        ("DISCOVERED", "HELD", "FAILED", "QUARANTINED", "SKIPPED"),
        "REPLACED",
        moment,
        reason=_SUPERSEDED,
    )
