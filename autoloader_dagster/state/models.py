"""The tables of the state database, as SQLAlchemy models.

Statements elsewhere are written against these classes. A change here needs a migration beside it;
a test compares the two on both databases.
"""

from datetime import datetime, timezone

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from autoloader_dagster.state.moments import storable


class UtcDateTime(TypeDecorator[datetime]):
    """A moment, aware of its zone in Python and UTC in the database.

    SQLite has no type for it and gets a text that sorts by time.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no timezone")
        moment = storable(value)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            return value.replace(tzinfo=timezone.utc)
        return value.astimezone(timezone.utc)


# SQLite gives out row ids by itself only for a column that is declared as just INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")
# Byte order on both databases, so that a range of partitions means the same on both, whatever
# locale the PostgreSQL database was created with.
Ordered = Text().with_variant(Text(collation="C"), "postgresql")


# Only then is there anything to find by it.
_HAS_ETAG = text("file_etag IS NOT NULL")
_NOT_LISTED = text("found_in_table_at IS NOT NULL")
_HAS_BAD_ROWS = text("bad_rows > 0")


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {str: Text(), int: BigInteger(), datetime: UtcDateTime()}  # noqa: RUF012


class StoredBatch(Base):
    """Files that one commit loads, takes out or loads again, and who is at it."""

    __tablename__ = "batches"

    id: Mapped[str] = mapped_column(primary_key=True)
    tenant: Mapped[str]
    ingestion_id: Mapped[str]
    kind: Mapped[str] = mapped_column(server_default="load")
    run_id: Mapped[str]
    table: Mapped[str]
    table_id: Mapped[str | None]
    status: Mapped[str]
    attempt: Mapped[int] = mapped_column(Integer)
    lease_owner: Mapped[str]
    lease_expires_at: Mapped[datetime]
    base_snapshot_id: Mapped[int | None]
    snapshot_id: Mapped[int | None]
    files: Mapped[int]
    rows: Mapped[int | None]
    bytes: Mapped[int]
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    # The order in which the batches of an ingestion were recorded, from 1. A clock does not give
    # it, because a clock can jump back. A batch that is recorded again gets a new number.
    record_number: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[str | None]
    # Ids of the files that were given back, as ranges. A worker that was thought dead may still
    # publish them, and then this says what its commit holds.
    released_files: Mapped[str | None]
    # The same of the files that an undo or a reload is about. They keep their status until it is
    # recorded, so nothing in their own rows tells.
    member_files: Mapped[str | None]

    __table_args__ = (
        Index(None, "status", "lease_expires_at"),
        Index(None, "ingestion_id", "started_at"),
        Index(None, "ingestion_id", "record_number"),
        Index(None, "run_id"),
    )


class StoredFile(Base):
    """One version of one file of one ingestion."""

    __tablename__ = "processed_files"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    tenant: Mapped[str]
    ingestion_id: Mapped[str]
    file_path: Mapped[str] = mapped_column(Ordered)
    file_version: Mapped[str]
    file_size_bytes: Mapped[int]
    file_modified_at: Mapped[datetime]
    file_etag: Mapped[str | None]
    partition_key: Mapped[str | None] = mapped_column(Ordered)
    status: Mapped[str]
    batch_id: Mapped[str | None] = mapped_column(ForeignKey("batches.id"))
    run_id: Mapped[str | None]
    snapshot_id: Mapped[int | None]
    discovered_at: Mapped[datetime]
    processing_started_at: Mapped[datetime | None]
    processed_at: Mapped[datetime | None]
    rows: Mapped[int | None]
    bad_rows: Mapped[int | None]
    bytes_read: Mapped[int | None]
    processing_duration_ms: Mapped[int | None]
    error_type: Mapped[str | None]
    reason: Mapped[str | None]
    retry_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    # The batch that took the rows of this version out of the table, while they are out. If main
    # loses that batch, they are back.
    displaced_by_batch: Mapped[str | None]
    # When the rows of a version were found in the table that no listing had shown; null once one
    # shows it. Until then file_version is not the source's, and only keeps two of them apart.
    found_in_table_at: Mapped[datetime | None]

    __table_args__ = (
        UniqueConstraint("ingestion_id", "file_path", "file_version"),
        Index(None, "ingestion_id", "status"),
        Index(None, "ingestion_id", "partition_key", "status"),
        Index(None, "run_id"),
        Index(None, "batch_id"),
        Index(None, "file_path"),
        Index(None, "status", "processed_at"),
        Index(
            None,
            "ingestion_id",
            "file_etag",
            "id",
            sqlite_where=_HAS_ETAG,
            postgresql_where=_HAS_ETAG,
        ),
        Index(
            "ix_processed_files_found_in_table",
            "ingestion_id",
            sqlite_where=_NOT_LISTED,
            postgresql_where=_NOT_LISTED,
        ),
        Index(
            "ix_processed_files_bad_rows",
            "ingestion_id",
            "status",
            "bad_rows",
            sqlite_where=_HAS_BAD_ROWS,
            postgresql_where=_HAS_BAD_ROWS,
        ),
        # A row's id identifies its file version in released_files and must never be given again.
        {"sqlite_autoincrement": True},
    )


class StoredTable(Base):
    """How far the state has followed one Iceberg table, for one of the ingestions that load it."""

    __tablename__ = "followed_tables"

    table: Mapped[str] = mapped_column(primary_key=True)
    ingestion_id: Mapped[str] = mapped_column(primary_key=True)
    table_id: Mapped[str | None]
    last_snapshot_id: Mapped[int | None]
    # See TableState. Packages that do not know it leave it behind the batches that they record.
    agreed_number: Mapped[int | None]
    updated_at: Mapped[datetime]


class StoredSchema(Base):
    """Which packages can use this schema; one row."""

    __tablename__ = "autoloader_schema"

    # The last revision of the oldest package that can. A migration that takes away or changes what
    # older statements need sets its own revision here; one that only adds leaves it.
    usable_from: Mapped[str] = mapped_column(primary_key=True)
