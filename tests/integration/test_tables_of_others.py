"""Tables that a person has made, stricter than this loader makes them: NOT NULL columns."""

from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autoloader_dagster.errors import TableError
from autoloader_dagster.iceberg.lineage import LINEAGE_COLUMNS
from autoloader_dagster.loading.changes.retry import retry
from autoloader_dagster.loading.ingestion import Ingestion
from autoloader_dagster.loading.preview import preview
from tests.fixtures.by_hand import sql
from tests.fixtures.lake import Lake


def _make(lake: Lake, name: str, columns: str, rescued: str = "string") -> None:
    lineage = {**{n: kind for n, (kind, _) in LINEAGE_COLUMNS.items()}, "_rescued": rescued}
    fields = ", ".join([columns, *(f"{n} {kind}" for n, kind in lineage.items())])
    sql(
        lake,
        "create namespace if not exists lake.{ns}",
        f"create table lake.{{ns}}.{name} ({fields})",
    )


def _reasons(lake: Lake, ingestion: Ingestion) -> dict[str, tuple[str | None, str]]:
    found = lake.store.files.find(ingestion.id, ("QUARANTINED",))
    return {f.file_path.rpartition("/")[2]: (f.error_type, f.reason or "") for f in found}


def test_a_file_without_a_value_that_the_table_requires_is_set_aside_and_the_others_load(
    lake: Lake,
) -> None:
    _make(lake, "strict", "id bigint not null, v bigint")
    folder = lake.folder()
    (folder / "good.csv").write_text("id,v\n1,1\n2,\n")
    (folder / "empty.csv").write_text("id,v\n,9\n3,3\n,8\n")
    (folder / "lacking.csv").write_text("v\n4\n")
    (folder / "misfit.csv").write_text("id,v\nfive,5\n")
    ingestion = lake.ingestion("strict")

    shown = {f.path.rpartition("/")[2]: f.error_type for f in preview(ingestion, files=4).bad_files}
    assert shown == dict.fromkeys(["empty.csv", "lacking.csv", "misfit.csv"], "NullNotAllowed")
    lake.load(ingestion)

    assert lake.rows("strict") == [(1, 1), (2, None)]
    reasons = _reasons(lake, ingestion)
    assert reasons["empty.csv"] == (
        "NullNotAllowed",
        f"has 2 rows without a value in column 'id', which is NOT NULL in lake.{lake.namespace}"
        f".strict; correct the file, or let the column be empty (ALTER TABLE lake.{lake.namespace}"
        ".strict ALTER COLUMN `id` DROP NOT NULL) and retry it",
    )
    assert {name: kind for name, (kind, _) in reasons.items()} == shown

    # The way out that the reason names.
    sql(lake, "alter table lake.{ns}.strict alter column id drop not null")
    retry(ingestion)
    lake.load(ingestion)
    assert Counter(v for _, v in lake.rows("strict")) == Counter([1, None, 9, 3, 8, 4, 5])


def test_a_missing_value_within_a_nested_column_is_found_as_well(lake: Lake) -> None:
    _make(
        lake,
        "nested",
        "id bigint, who struct<name: string not null, tags: array<struct<k: string not null>>>",
    )
    fields = pa.struct([("name", pa.string()), ("tags", pa.list_(pa.struct([("k", pa.string())])))])
    rows = {
        "good": [{"name": "a", "tags": [{"k": "x"}, None]}, None, {"name": "b", "tags": None}],
        "no_name": [{"name": None, "tags": []}],
        "no_key": [{"name": "c", "tags": [{"k": "x"}, {"k": None}]}],
    }
    for number, (name, who) in enumerate(rows.items()):
        columns = {
            "id": pa.array([number] * len(who), pa.int64()),
            "who": pa.array(who, fields),
        }
        pq.write_table(pa.table(columns), lake.folder() / f"{name}.parquet")
    ingestion = lake.ingestion("nested", format={"type": "parquet"})
    lake.load(ingestion)
    assert lake.ids("nested") == {0: 3}
    assert {name: kind for name, (kind, _) in _reasons(lake, ingestion).items()} == {
        "no_name.parquet": "NullNotAllowed",
        "no_key.parquet": "NullNotAllowed",
    }


def test_a_lineage_column_that_may_not_be_empty_is_named_before_anything_is_loaded(
    lake: Lake,
) -> None:
    _make(lake, "rescued", "id bigint", rescued="string not null")
    (lake.folder() / "a.csv").write_text("id\n1\n")
    ingestion = lake.ingestion("rescued")
    with pytest.raises(TableError, match=r"_rescued of table lake\..* is NOT NULL") as caught:
        lake.load(ingestion)
    name = ingestion.spec.table.name
    assert caught.value.hint == f"ALTER TABLE {name} ALTER COLUMN _rescued DROP NOT NULL."
    assert lake.statuses(ingestion) == {"a.csv": "DISCOVERED"}
    sql(lake, "alter table lake.{ns}.rescued alter column _rescued drop not null")
    lake.load(ingestion)
    assert lake.ids("rescued") == {1: 1}
