"""Generated CSV files come out of the table as an independent reader reads them."""

from tests.differential import csv_cases
from tests.differential.harness import Bench, Group, kept


def test_the_harness_sees_a_difference_and_finds_none_in_plain_files(bench: Bench) -> None:
    good = [b"id,note\n1,a\n2,\n", b'note\r\n"x, ""y"""\r\n', b"", b"id\n1\n"]
    spec = {"format": {"type": "csv"}, "schema": {"hints": {"id": "bigint", "note": "string"}}}

    assert bench.differences(Group("csv", spec, good)) == {}
    wrong = Bench(
        bench.lake,
        {"csv": lambda spec, data, types: bench.oracles["csv"](spec, data + b"9,z\n", types)},
    )
    assert sorted(wrong.differences(Group("csv", spec, good))) == [0, 1, 2, 3]


def test_what_was_found_once_stays_fixed(bench: Bench) -> None:
    found = {group.label: bench.differences(group) for group in kept("csv")}

    assert {label: what for label, what in found.items() if what} == {}


def test_generated_files_come_out_as_an_independent_reader_reads_them(bench: Bench) -> None:
    groups = [csv_cases.group(seed, 60) for seed in (2, 5)]
    groups.append(csv_cases.group(1003, 6, padded=True))

    finds = bench.finds(groups, shrink=False)

    assert not finds, "\n".join(map(str, finds))
