"""Generated CSV files come out of the table as an independent reader reads them."""

from dataclasses import replace
from pathlib import Path

from tests.differential import csv_cases
from tests.differential.harness import Bench, Find, Group, keep, kept, together


def test_the_harness_sees_a_difference_and_finds_none_in_plain_files(
    bench: Bench, tmp_path: Path
) -> None:
    good = [b"id,note\n1,a\n2,\n", b'note\r\n"x, ""y"""\r\n', b"", b"id\n1\n"]
    spec = {"format": {"type": "csv"}, "schema": {"hints": {"id": "bigint", "note": "string"}}}

    assert bench.differences(Group("csv", spec, good)) == {}
    wrong = Bench(
        bench.lake,
        {"csv": lambda spec, data, types: bench.oracles["csv"](spec, data + b"9,z\n", types)},
    )
    assert sorted(wrong.differences(Group("csv", spec, good))) == [0, 1, 2, 3]

    # What is kept is what is replayed, with the files that it needs.
    alone = Group("csv", spec, good[:1], ".csv")
    keep(Find(alone, "differs"), tmp_path)
    keep(Find(replace(alone, files=good[1:2]), "differs"), tmp_path)
    keep(Find(replace(alone, files=good[2:]), "differs"), tmp_path)
    replayed = kept("csv", tmp_path)
    assert sorted(sorted(group.files) for group in replayed) == sorted(
        [sorted(good[:2]), sorted(good[2:])]
    )
    assert kept("json", tmp_path) == []


def test_what_was_found_once_stays_fixed(bench: Bench) -> None:
    found = {group.label: bench.differences(group) for group in kept("csv")}

    assert {label: what for label, what in found.items() if what} == {}


def test_generated_files_come_out_as_an_independent_reader_reads_them(bench: Bench) -> None:
    groups = [csv_cases.group(seed, 60) for seed in (2, 5)]
    groups.append(csv_cases.group(1003, 8, padded=True))

    finds = bench.finds(groups, shrink=False)

    assert not finds, "\n".join(map(str, finds))


def test_ordinary_files_load_whether_their_records_are_sent_along_or_spark_opens_them(
    bench: Bench,
) -> None:
    small, large = csv_cases.ordinary(1, 3_000), csv_cases.ordinary(2, 132_000)

    finds = bench.finds(together([small, large]), shrink=False)

    assert not finds, "\n".join(map(str, finds))
