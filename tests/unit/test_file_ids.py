import pytest

from autoloader_dagster.state.file_ids import holds, read_ids, write_ids


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([1, 2, 3], "1-3"),
        ([9, 1, 2, 5], "1-2,5,9"),
        ([4, 5, 7, 8], "4-5,7-8"),
    ],
)
def test_ids_come_back_from_their_text(ids: list[int], text: str) -> None:
    assert write_ids(ids) == text
    assert read_ids(text) == sorted(ids)
    for asked in ([], [0], [3], [6, 7], [0, 10], [1, 9]):
        assert holds(text, asked) is bool(set(ids) & set(asked))
