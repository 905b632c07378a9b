import random

import pytest

from autoloader_dagster.iceberg.column_names import RESERVED, NameStyle, normalise
from tests.fixtures.seeds import each_seed


@pytest.mark.parametrize(
    ("original", "column"),
    [
        ("Province/State", "province_state"),
        ("Province_State", "province_state"),
        ("Case-Fatality_Ratio", "case_fatality_ratio"),
        ("Long_", "long"),
        ("_id", "id"),
        ("  Last Update ", "last_update"),
        ("a..b--c", "a_b_c"),
        ("2020", "c_2020"),
        ("ＦＩＰＳ", "fips"),
        ("Größe", "gr_e"),
        ("x" * 300, "x" * 255),
        ("select", "select"),
        ("a\nb", "a_b"),
    ],
)
def test_a_name_becomes_lower_case_letters_digits_and_underscores(original, column):
    assert normalise([original]) == [column]


def test_an_empty_name_is_called_by_its_position():
    assert normalise(["a", "", " ", "b"]) == ["a", "column_2", "column_3", "b"]
    # A column that is called so keeps its name, as in a file without an empty one.
    assert normalise(["", "column_1"]) == ["column_1_2", "column_1"]


def test_the_key_of_a_whole_record_in_rescued_is_no_column():
    assert normalise(["_row", "_ROW"], "original") == ["c_row", "c_ROW_2"]


def test_a_name_without_latin_letters_is_the_same_column_at_any_position():
    first = normalise(["名前", "年齢"])
    second = normalise(["年齢", "id", "名前"])
    assert first[0] == second[2]
    assert first[1] == second[0]
    assert first[0] != first[1]


def test_repeated_names_are_counted_and_spare_real_ones():
    assert normalise(["a", "A", "a "]) == ["a", "a_2", "a_3"]
    assert normalise(["a", "a", "a_2"]) == ["a", "a_3", "a_2"]
    assert normalise(["x" * 300, "x" * 300]) == ["x" * 255, "x" * 253 + "_2"]


def test_a_name_that_was_met_before_keeps_its_column():
    known = {"A": "a", "a": "a_2"}
    assert normalise(["a", "A"], known=known) == ["a_2", "a"]
    assert normalise(["a"], known=known) == ["a_2"]
    assert normalise(["b", "a"], known={"a": "b"}) == ["b_2", "b"]


def test_a_name_that_differs_in_case_alone_is_spelled_as_the_column_is():
    known = {"Id": "Id", "id": "id_2"}
    assert normalise(["ID", "NAME"], "original", known) == ["Id", "NAME"]
    assert normalise(["id", "Id"], "original", known) == ["id_2", "Id"]
    assert normalise(["extra", "id"], columns=["Extra", "Extra_2"]) == ["Extra", "id"]
    assert normalise(["extra", "EXTRA"], columns=["Extra", "Extra_2"]) == ["Extra", "Extra_2"]


def test_original_names_stay_but_are_made_usable():
    names = ["Province/State", "province/state", "", "_file", "_Batch_ID", "ok name"]
    assert normalise(names, "original") == [
        "Province/State",
        "province/state_2",
        "column_3",
        "c_file",
        "c_Batch_ID",
        "ok name",
    ]


@pytest.mark.parametrize("style", ["normalised", "original"])
def test_any_names_give_different_usable_columns(style):
    each_seed(range(200), lambda seed: _check_the_columns_of_random_names(seed, style))


def _check_the_columns_of_random_names(seed: int, style: NameStyle) -> None:
    chance = random.Random(seed)
    signs = "aAbB12_ /-é名\t"
    names = [
        "".join(chance.choices(signs, k=chance.randrange(4))) for _ in range(chance.randrange(40))
    ] + chance.sample(sorted(RESERVED), 3)
    columns = normalise(names, style)
    assert len(columns) == len(names)
    assert len({column.lower() for column in columns}) == len(columns)
    assert not {column.lower() for column in columns} & RESERVED
    assert all(column.strip() and len(column) <= 255 for column in columns)
    assert normalise(names, style) == columns
    if style == "normalised":
        assert all(column[0].isascii() and column[0].isalpha() for column in columns)
