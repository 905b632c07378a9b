"""Numbers as people read them: sizes, and counts with what they count."""

from collections.abc import Mapping


def counted(count: int, one: str, many: str | None = None) -> str:
    """The number with its noun, as ``1 file`` or ``2,000 files``.

    Args:
        count: How many.
        one: The noun, for one; it may have a verb, as ``file is``.
        many: The same for none and for several; by default ``one`` with an s.
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def shown_size(count: float) -> str:
    """Bytes for people, as ``1.2 GB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def shown_counts(counts: Mapping[str, int]) -> list[str]:
    """Each count that is not zero, with its name, as ``3 quarantined``."""
    return [f"{count:,} {name}" for name, count in counts.items() if count]
