import re

from autoloader_dagster.iceberg.originals import properties_for, read_originals

NAMES = {f"column_{i}": f"Column {i} (token, url)" for i in range(5_000)} | {"x": "\udfaa"}
COMMENTS = dict.fromkeys(NAMES, "")


def test_originals_come_back_from_few_and_short_properties():
    properties = properties_for(NAMES)
    assert read_originals(COMMENTS, {"owner": "root", **properties}) == (NAMES, True)
    assert len(properties) < 50
    assert all(len(value) < 4_000 for value in properties.values())
    assert sum(map(len, properties.values())) < 200_000


def test_no_property_looks_like_a_secret_or_an_address_to_spark():
    """Spark hides those from whoever asks for the table's properties."""
    hidden = re.compile("url|secret|password|token|access[.]?key", re.IGNORECASE)
    for key, value in properties_for(NAMES).items():
        assert not hidden.search(key)
        assert not hidden.search(value)


def test_workers_that_add_columns_at_once_overwrite_nothing():
    one, other = properties_for({"a": "A"}), properties_for({"b": "B"})
    assert read_originals({"a": "", "b": ""}, one | other) == ({"a": "A", "b": "B"}, True)
    assert read_originals({"a": ""}, one | properties_for({"a": "Á"})) == ({"a": "Á"}, True)


def test_a_comment_counts_for_a_renamed_column_only():
    properties = properties_for({"price": "Price", "id": "ID"})
    assert read_originals({"cost": "Price", "id": "Price", "own": "Other"}, properties)[0] == {
        "cost": "Price",
        "id": "ID",
        "own": "",
    }
    assert read_originals({"price": "x"}, properties)[0] == {"price": "Price"}


def test_a_table_without_the_properties_has_the_originals_in_its_comments():
    comments = {"price": "Price", "total_2": "total", "c_file": "_file", "id": "the key", "x": ""}
    assert read_originals(comments, {"owner": "root"}) == (
        {"price": "Price", "total_2": "total", "c_file": "_file", "id": "", "x": ""},
        False,
    )
    changed = {"autoloader.originals.0": "*********(redacted)", "autoloader.originals.1": "00"}
    assert read_originals({"price": "Price"}, changed) == ({"price": "Price"}, False)
