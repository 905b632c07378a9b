"""Generated Parquet files come out of the table as an independent reader reads them."""

from tests.differential import parquet_cases
from tests.differential.harness import Bench, kept


def test_generated_files_are_in_the_table_as_pyarrow_reads_them(bench: Bench) -> None:
    for seed in (5, 9):
        found = bench.finds([parquet_cases.group(seed, 40)], shrink=False)

        assert not found, "\n".join(map(str, found))


def test_what_was_found_once_stays_fixed(bench: Bench) -> None:
    found = {group.label: bench.differences(group) for group in kept("parquet")}

    assert {label: what for label, what in found.items() if what} == {}
