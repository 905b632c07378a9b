"""Checks of text that hold at any place where a stream is cut into chunks."""

import pytest

from autoloader_dagster.formats.text import checked_text


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_only_the_first_byte_order_mark_is_taken_from_utf_16(codec: str) -> None:
    # U+FEFF is a character like any other wherever it is not the first one.
    text = "\ufeff" * 2 + "x" * 600 + "\n\ufeffb\n"
    middle = len("\ufeff" * 2 + "x" * 600 + "\n") * 2
    data = text.encode(codec)

    checked = b"".join(checked_text(iter([data[:middle], data[middle:]]), "utf-16"))

    assert checked.decode() == text[1:]
