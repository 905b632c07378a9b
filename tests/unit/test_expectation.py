"""How the differential tests hold a table's rows against what an oracle expects."""

from tests.differential.expectation import ANY, Expected, Found, Row, difference


def test_rows_of_which_little_is_known_take_no_row_that_another_one_needs() -> None:
    vague = [Row({"n": ANY, "t": ANY}, None) for _ in range(3)]
    known = [Row({"n": 1, "t": ANY}, None), Row({"n": ANY, "t": "a"}, None)]
    rows = [({"n": 1, "t": "a"}, None), ({"n": 1}, None), ({"t": "b"}, None)]
    rows += [({"n": 2}, "{}"), ({"n": 3}, None)]
    found = Found("SUCCESS", rows=rows, counted=(5, 1))

    assert difference(Expected([*vague, *known]), found) is None
    assert difference(Expected([*vague, *reversed(known)]), found) is None
    wrong = [*vague[:2], *known, Row({"n": 1, "t": "c"}, None)]
    assert "no row is {'n': 1, 't': 'c'}" in str(difference(Expected(wrong), found))
