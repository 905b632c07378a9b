import random
from datetime import date, datetime
from decimal import Decimal

import pytest

from autoloader_dagster.errors import SpecError
from autoloader_dagster.formats.json.values import NESTED, Number
from autoloader_dagster.formats.type_inference import infer_column, merge_types
from tests.fixtures.seeds import each_seed

CELLS = {
    "string": [
        [],
        [None, None],
        ["007"],
        ["-007"],
        ["00"],
        ["00.5"],
        ["10001", "01001"],
        ["+5"],
        ["+5.0"],
        ["1,000"],
        ["1_000"],
        ["0x10"],
        ["１２"],
        ["1.5d"],
        ["1.5f"],
        ["5 %"],
        ["NaN"],
        ["Infinity", "-inf"],
        ["1e400"],
        ["1e-400"],
        ["1e99999"],
        ["0.1234567890123456789"],
        ["0.12345678901234567"],
        ["9" * 39],
        ["9007199254740993", "0.5"],
        ["99999999999999999999", "0.5"],
        ["yes", "no"],
        ["t", "f"],
        ["true", "1"],
        ["12:30"],
        ["12:30:00"],
        ["2020-02-30"],
        ["2020-13-01"],
        ["0000-01-01"],
        ["2020-1-5"],
        ["1/22/2020"],
        ["1/22/2020 17:00"],
        ["2020-01-01 24:00:00"],
        ["2020-01-01 00:00:60"],
        ["2020-01-01 00:00:00.1234567"],
        ["2020-01-01T00:00:00+25:00"],
        ["2020-01-01", "3"],
        ["1", "x"],
        [" "],
        ["nan", "true"],
        ["."],
        ["-"],
        ["1e"],
        ["1\n2"],
    ],
    "bigint": [["0"], ["-1", None, "2"], ["2020"], [str(2**63 - 1)], [" 7 "], ["-0"]],
    "decimal(38,0)": [[str(2**63)], ["1", "9" * 38], ["-" + "9" * 38]],
    "double": [
        ["0.5"],
        ["1.10"],
        [".5"],
        ["5."],
        ["-0.0"],
        ["1e5"],
        ["1E-7"],
        ["1", "2.5"],
        [str(2**53), "0.5"],
        ["1.5", "NaN"],
        ["1", "nan"],
        ["30.295064899999996"],
        ["159.0084396787214"],
        ["1.500000000000000000000000"],
        ["0.10000000000000001"],
        ["1.7976931348623157e308"],
        ["5e-324"],
        ["0.0"],
    ],
    "boolean": [["true", "FALSE", None], ["False"]],
    "date": [["2020-02-29"], ["0001-01-01", "9999-12-31"]],
    "timestamp": [
        ["2020-01-01 10:00"],
        ["2020-01-01 10:00:00"],
        ["2020-01-01T10:00:00Z"],
        ["2020-01-01T10:00:00.123456+02:00"],
        ["2020-01-01T10:00:00.123456000"],
        ["2020-01-01T10:00:00-0530"],
        ["2020-01-01", "2020-01-01T00:00"],
    ],
}


@pytest.mark.parametrize(
    ("cells", "sql_type"), [(cells, name) for name, table in CELLS.items() for cells in table]
)
def test_cells_of_text(cells, sql_type):
    assert infer_column(cells) == sql_type


@pytest.mark.parametrize(
    ("values", "sql_type"),
    [
        ([True, None], "boolean"),
        ([Number("1"), Number("-20")], "bigint"),
        ([Number("1"), Number("2.5")], "double"),
        ([Number("1e3")], "double"),
        ([Number("9" * 20)], "decimal(38,0)"),
        ([Number("9" * 5000)], "string"),
        ([Number("0.12345678901234567890")], "string"),
        ([1, 2], "bigint"),
        ([1, 2.5], "double"),
        (["123"], "string"),
        (["true"], "string"),
        (["2023-07-10T11:45:00Z"], "timestamp"),
        (["2023-07-10"], "date"),
        ([NESTED], "string"),
        ([NESTED, Number("1")], "string"),
        ([True, Number("1")], "string"),
        ([None], "string"),
    ],
)
def test_json_values(values, sql_type):
    assert infer_column(values, is_json=True) == sql_type


@pytest.mark.parametrize(
    ("pattern", "cells", "sql_type"),
    [
        ("M/d/yyyy H:mm", ["1/22/2020 17:00", "12/1/2020 9:05"], "timestamp"),
        ("M/d/yyyy H:mm", ["1/22/2020 17:00", "1/22/20 17:00"], "string"),
        ("M/d/yyyy H:mm", ["1/22/2020 17:00", "2020-02-01T10:00:00"], "timestamp"),
        ("M/d/yyyy H:mm", ["22/1/2020 17:00"], "string"),
        ("M/d/yyyy", ["1/2/2020"], "timestamp"),
        ("dd.MM.yyyy", ["01.02.2020"], "timestamp"),
        ("dd.MM.yyyy", ["01x02x2020"], "string"),
        ("dd-MMM-yyyy hh:mm a", ["01-Feb-2020 01:30 PM"], "timestamp"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", ["2020-01-01T00:00:00.000+02:00"], "timestamp"),
        ("yyyy/MM/dd[ HH:mm", ["2020/01/01", "2020/01/01 10:00"], "timestamp"),
        ("yyyy/MM/dd[ HH:mm]", ["2020/01/01", "2020/01/01 10:00"], "timestamp"),
        ("h 'o''clock' d.M.yyyy", ["3 o'clock 1.2.2020"], "timestamp"),
        ("d MMM yyyy HH:mm:ss Z", ["1 Jan 2020 10:00:00 +0000"], "timestamp"),
        ("yyyyMMdd", ["20200131"], "bigint"),
    ],
)
def test_patterns_of_the_spec_make_timestamps(pattern, cells, sql_type):
    assert infer_column(cells, [pattern]) == sql_type


def test_a_pattern_with_an_unknown_letter_is_an_error_of_the_spec():
    with pytest.raises(SpecError, match=r"'yyyy-ww' has the letter 'w'"):
        infer_column(["x"], ["yyyy-ww"])


@pytest.mark.parametrize(
    ("a", "b", "merged"),
    [
        ("bigint", "bigint", "bigint"),
        ("void", "date", "date"),
        ("int", "bigint", "bigint"),
        ("bigint", "double", "double"),
        ("float", "int", "double"),
        ("float", "double", "double"),
        ("date", "timestamp", "timestamp"),
        ("date", "timestamp_ntz", "timestamp_ntz"),
        ("bigint", "decimal(38,0)", "decimal(38,0)"),
        ("decimal(10,2)", "decimal(12,4)", "decimal(12,4)"),
        ("decimal(38,0)", "decimal(10,2)", "string"),
        ("decimal(38,0)", "double", "string"),
        ("boolean", "bigint", "string"),
        ("date", "bigint", "string"),
        ("string", "bigint", "string"),
    ],
)
def test_two_types_merge_into_the_one_that_holds_both(a, b, merged):
    assert merge_types(a, b) == merged
    assert merge_types(b, a) == merged


def _random_cell(chance: random.Random) -> str:
    digits = "".join(chance.choices("0123456789", k=chance.randrange(1, 22)))
    return chance.choice(
        [
            digits,
            digits.lstrip("0") or "0",
            str(chance.randrange(-100, 100)),
            f"-{digits}",
            f"{chance.randrange(1000)}.{digits}",
            repr(chance.random() * 10 ** chance.randrange(-5, 20)),
            f"{digits[0]}.{digits[1:]}e{chance.randrange(-330, 330)}",
            chance.choice(["true", "False", "NaN", "-Infinity", "", "+1", "1e5", "12:30"]),
            f"20{chance.randrange(10, 30)}-0{chance.randrange(1, 10)}-{chance.randrange(10, 32)}",
            f"2020-01-0{chance.randrange(1, 10)} 1{chance.randrange(10)}:00:00",
        ]
    )


def _keeps(cell: str, sql_type: str) -> bool:
    """Whether the cell can be written again from its value: a model of the cast."""
    if sql_type in ("bigint", "decimal(38,0)"):
        limit = 2**63 - 1 if sql_type == "bigint" else 10**38 - 1
        return abs(int(cell)) <= limit and (str(int(cell)) == cell or cell == "-0")
    if sql_type == "double":
        value = float(cell)
        if value != value or value in (float("inf"), float("-inf")):
            return not any(sign.isdigit() for sign in cell)
        digits = (str(value), *(f"{value:.{n}g}" for n in range(1, 18)))
        return any(Decimal(text) == Decimal(cell) for text in digits) and cell[0] != "+"
    if sql_type == "boolean":
        return cell.lower() in ("true", "false")
    if sql_type == "date":
        return date.fromisoformat(cell).isoformat() == cell
    if sql_type == "timestamp":
        return datetime.fromisoformat(cell).isoformat(" ").startswith(cell)
    return sql_type == "string"


def test_no_cell_of_a_column_loses_anything_by_the_inferred_type():
    each_seed(range(500), _check_the_type_of_random_cells)


def _check_the_type_of_random_cells(seed: int) -> None:
    chance = random.Random(seed)
    kinds = chance.randrange(1, 4)
    cells: list[str] = []
    for _ in range(kinds):
        first = _random_cell(chance)
        cells += [
            first,
            *(c for c in (_random_cell(chance) for _ in range(3)) if len(c) == len(first)),
        ]
    sql_type = infer_column(cells)
    assert all(_keeps(cell, sql_type) for cell in cells), (sql_type, cells)
    chance.shuffle(cells)
    assert infer_column(cells) == sql_type
