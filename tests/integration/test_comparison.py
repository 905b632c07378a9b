"""A table's rows and a listing, held against the state in bulk; on both databases."""

from datetime import timedelta

import pytest

from autoloader_dagster.errors import MainMoved
from autoloader_dagster.iceberg.rows import RowsOfFile
from autoloader_dagster.state import LoadedFile, ProcessedFiles
from autoloader_dagster.state.records import Difference, DifferenceKind
from tests.integration.state_steps import (
    BASE_TIME,
    INGESTION,
    TABLE,
    claimed,
    discover,
    load,
    ref,
    statuses,
    versions,
)

OTHER = "acme/other"
FOREIGN = "20260101T000000Z-abcdef"


def rows_of(name: str, batch_id: str, rows: int = 10, minutes: int = 0) -> RowsOfFile:
    moment = BASE_TIME + timedelta(minutes=minutes)
    return RowsOfFile(ref(name).path, moment, batch_id, "2026-11-01", rows, 1)


def compare(
    state: ProcessedFiles, in_table: list[RowsOfFile], *listed: str, shared: bool = False
) -> tuple[dict[DifferenceKind, int], list[tuple[str, str]], int]:
    with state.rebuild.compare(
        INGESTION, shared, in_table, [[ref(name) for name in listed]]
    ) as comparison:
        counts = comparison.compare()
        found = [
            (each.kind, each.path.rsplit("/", 1)[-1])
            for each in comparison.differences(
                "missing", "fewer", "double", "unrecorded", "unknown", "gone"
            )
        ]
        return {**counts}, sorted(found), comparison.new()


def test_what_agrees_has_no_differences(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    batch = load(state)

    in_table = [rows_of("a.csv", batch.batch_id), rows_of("b.csv", batch.batch_id)]

    assert compare(state, in_table, "a.csv", "b.csv", "new.csv") == ({}, [], 1)


def test_every_kind_of_difference_is_told_apart(state: ProcessedFiles) -> None:
    names = [f"{kind}.csv" for kind in ("missing", "fewer", "more", "twice", "gone", "moved")]
    discover(state, *map(ref, names))
    batch = load(state).batch_id
    discover(state, ref("waiting.csv"))

    in_table = [
        rows_of("fewer.csv", batch, 9),
        rows_of("more.csv", batch, 11),
        rows_of("twice.csv", batch),
        rows_of("twice.csv", FOREIGN),
        rows_of("gone.csv", batch),
        rows_of("moved.csv", FOREIGN),
        rows_of("waiting.csv", FOREIGN),
        rows_of("listed.csv", FOREIGN),
        rows_of("nobodys.csv", FOREIGN, minutes=7),
    ]
    listed = [*names, "waiting.csv", "listed.csv"]
    listed.remove("gone.csv")

    counts, found, new = compare(state, in_table, *listed)

    assert found == [
        ("double", "more.csv"),
        ("double", "twice.csv"),
        ("fewer", "fewer.csv"),
        ("gone", "gone.csv"),
        ("missing", "missing.csv"),
        ("unknown", "nobodys.csv"),
        ("unrecorded", "listed.csv"),
        ("unrecorded", "moved.csv"),
        ("unrecorded", "waiting.csv"),
    ]
    assert counts["double"] == 2
    assert new == 0


def test_rows_of_a_lost_batch_of_another_ingestion_are_no_difference(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("waiting.csv"))
    in_table = [rows_of("waiting.csv", FOREIGN)]

    with state.rebuild.compare(
        INGESTION, True, in_table, [[ref("waiting.csv")]], {FOREIGN}
    ) as comparison:
        assert comparison.compare() == {}
        comparison.read_table(in_table)
        assert comparison.compare() == {"unrecorded": 1}


def test_no_transaction_is_open_between_two_differences(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    load(state)

    with state.rebuild.compare(INGESTION, False, [], [[ref("a.csv"), ref("b.csv")]]) as comparison:
        comparison.compare()
        told = comparison.differences("missing")
        assert next(told).path == ref("a.csv").path
        assert not comparison._connection.in_transaction()
        discover(state, ref("c.csv"))
        assert [each.path for each in told] == [ref("b.csv").path]


def test_rows_of_a_replaced_version_beside_those_of_the_newer_one_are_double(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv"))
    first = load(state).batch_id
    discover(state, ref("a.csv", "v2", minutes=5), on_change="replace")
    second = load(state, 8, replace=True).batch_id

    newer = rows_of("a.csv", second, minutes=5)
    assert compare(state, [rows_of("a.csv", first), newer], "a.csv")[1] == [("double", "a.csv")]
    # Main was taken back: the older version is what the table has.
    assert compare(state, [rows_of("a.csv", first)], "a.csv")[1] == [
        ("missing", "a.csv"),
        ("unrecorded", "a.csv"),
    ]


def test_what_a_worker_is_at_is_no_difference(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    batch = claimed(state)

    assert compare(state, [rows_of("a.csv", batch.batch_id)], "a.csv") == ({}, [], 0)


def test_rows_of_others_in_a_shared_table_are_theirs(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    batch = load(state).batch_id
    discover(state, ref("b.csv"), ingestion_id=OTHER)

    in_table = [
        rows_of("a.csv", batch),
        rows_of("b.csv", FOREIGN),
        rows_of("a.csv", FOREIGN, minutes=3),
    ]

    assert compare(state, in_table, "a.csv", shared=True)[1] == [("unknown", "a.csv")]
    assert compare(state, in_table, "a.csv")[1] == [("unknown", "a.csv"), ("unknown", "b.csv")]


def test_versions_of_the_table_alone_get_their_identity_from_a_later_listing(
    state: ProcessedFiles,
) -> None:
    in_table = [rows_of("listed.csv", FOREIGN), rows_of("later.csv", FOREIGN)]
    with state.rebuild.compare(INGESTION, False, in_table, [[ref("listed.csv")]]) as comparison:
        comparison.compare()
        comparison.add_versions("acme")
        comparison.compare()
        found: list[Difference] = list(comparison.differences("unrecorded"))
        assert len(found) == 2
    files = [LoadedFile(each.file_id or 0, each.rows, each.bad_rows) for each in found]
    state.batch_files.record(
        FOREIGN, 7, files, 0.0, ingestion_id=INGESTION, tenant="acme", table=TABLE
    )
    assert statuses(state, "listed.csv") == {"v1": "SUCCESS"}
    (unlisted,) = statuses(state, "later.csv")
    assert unlisted.startswith("unlisted since ")

    listing = discover(state, ref("listed.csv"), ref("later.csv"))

    assert (listing.unchanged, listing.new) == (2, 0)
    row = versions(state, "later.csv")["v1"]
    assert (row.status, row.partition_key, row.file_size_bytes) == ("SUCCESS", "2026-11-01", 100)
    again = discover(state, ref("later.csv", "v2", minutes=9), on_change="replace")
    assert again.changed == 1


def test_versions_that_catch_up_finds_are_added_once(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv"))
    found = [(ref(name).path, BASE_TIME, "2026-11-01") for name in ("a.csv", "b.csv")]

    for _ in range(2):
        state.rebuild.add_versions(INGESTION, "acme", found)

    assert statuses(state, "a.csv") == {"v1": "DISCOVERED"}
    assert list(statuses(state, "b.csv").values()) == ["UNDONE"]
    discover(state, ref("b.csv"))
    assert statuses(state, "b.csv") == {"v1": "UNDONE"}


def test_the_text_of_a_version_does_not_tell_whether_it_was_listed(state: ProcessedFiles) -> None:
    discover(state, ref("a.csv", "unlisted since yesterday"))
    load(state)

    assert discover(state, ref("a.csv", "v2"), on_change="append").changed == 1
    expected = {"unlisted since yesterday": "SUCCESS", "v2": "DISCOVERED"}
    assert statuses(state, "a.csv") == expected


def _main_moved() -> None:
    raise MainMoved("by a test")


def test_files_whose_rows_are_gone_wait_again_if_they_are_loaded_as_compared(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv"), ref("b.csv"))
    batch_id = load(state).batch_id
    file_id = versions(state, "a.csv")["v1"].id

    assert state.rollbacks.requeue_files(INGESTION, {file_id: "another batch"}, "no row of it") == 0
    with pytest.raises(MainMoved):
        state.rollbacks.requeue_files(INGESTION, {file_id: batch_id}, "no row of it", _main_moved)
    assert statuses(state, "a.csv") == {"v1": "SUCCESS"}

    assert state.rollbacks.requeue_files(INGESTION, {file_id: batch_id}, "no row of it") == 1

    row = versions(state, "a.csv")["v1"]
    assert (row.status, row.reason, row.batch_id) == ("DISCOVERED", "no row of it", None)
    assert statuses(state, "b.csv") == {"v1": "SUCCESS"}
    assert state.rollbacks.requeue_files(INGESTION, {file_id: batch_id}, "no row of it") == 0


def test_a_file_is_reinstated_only_with_the_status_that_was_compared(
    state: ProcessedFiles,
) -> None:
    discover(state, ref("a.csv"))
    batch_id = load(state).batch_id
    file_id = versions(state, "a.csv")["v1"].id
    state.rollbacks.requeue_files(INGESTION, {file_id: batch_id}, "no row of it")
    files = [LoadedFile(file_id, 3)]

    assert state.rebuild.reinstate(INGESTION, batch_id, files, {file_id: "UNDONE"}) == 0
    assert state.rebuild.reinstate(INGESTION, "unknown", files, {file_id: "DISCOVERED"}) == 0
    with pytest.raises(MainMoved):
        state.rebuild.reinstate(INGESTION, batch_id, files, {file_id: "DISCOVERED"}, _main_moved)
    assert statuses(state, "a.csv") == {"v1": "DISCOVERED"}

    assert state.rebuild.reinstate(INGESTION, batch_id, files, {file_id: "DISCOVERED"}) == 1

    row = versions(state, "a.csv")["v1"]
    assert (row.status, row.batch_id, row.rows) == ("SUCCESS", batch_id, 3)
