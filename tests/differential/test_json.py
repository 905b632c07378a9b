"""Generated JSON files come out of the table as Python's ``json`` reads them."""

from dataclasses import replace

from tests.differential.harness import Bench, Group, kept
from tests.differential.json_cases import group


def test_the_oracle_of_json_sees_what_was_lost_or_changed(bench: Bench) -> None:
    files = [b'{"a":1.10}\n{"a":2}{"a":3}\n', b'[{"a":1e400}]', b'{"b":"x"}garbage', b'{"a":1}\n']
    spec = {"format": {"type": "json"}, "schema": {"hints": {"a": "string"}}}

    assert bench.differences(Group("json", spec, files)) == {}
    wrong = Bench(
        bench.lake,
        {
            "json": lambda spec, data, types: bench.oracles["json"](
                spec, data.replace(b"1.10", b"1.1").replace(b"4", b"3"), types
            )
        },
    )
    assert sorted(wrong.differences(Group("json", spec, files))) == [0, 1]


def test_generated_json_files_are_read_as_python_reads_them(bench: Bench) -> None:
    groups = [group(seed, 250, large=2) for seed in (101, 102, 103)]

    assert [str(find) for find in bench.finds(groups, shrink=False)] == []


def test_generated_json_lines_are_read_alike_by_python_workers(bench: Bench) -> None:
    apart = replace(bench, json_apart=True)

    assert [str(find) for find in apart.finds([group(104, 250, large=2)], shrink=False)] == []


def test_what_was_found_once_in_json_stays_fixed(bench: Bench) -> None:
    found = {group.label: bench.differences(group) for group in kept("json")}

    assert {label: what for label, what in found.items() if what} == {}
