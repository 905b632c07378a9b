"""Slices of a text, spread evenly over all of it, taken while it streams by.

The first rows of a file often look alike (a month without rain, ids that are still short), so a
type that is inferred from them alone is often too narrow.
"""

_SLICE_BYTES = 16 * 2**10
_FIRST_DISTANCE = 64 * 2**10
_MAX_SLICES = 16


class Slices:
    """Collects whole lines of a text in blocks, however long it turns out to be.

    Memory is bounded by some 256 KiB: when there are too many slices, every other one is dropped
    and later ones are taken twice as far apart.
    """

    def __init__(self) -> None:
        self._taken: list[bytes] = []
        self._distance = _FIRST_DISTANCE
        self._to_next = _FIRST_DISTANCE

    def feed(self, block: bytes) -> None:
        """Take the next block of whole lines."""
        at = self._to_next
        while at < len(block):
            at = max(at + self._distance, self._take(block, at))
        self._to_next = at - len(block)

    def text(self) -> bytes:
        """The slices, one after the other; every line in it is whole."""
        return b"".join(self._taken)

    def _take(self, block: bytes, at: int) -> int:
        """Take the lines that begin after a place; where they end, or the line before them does."""
        line_end = b"\n" if b"\n" in block else b"\r"
        start = block.find(line_end, at) + 1
        end = block.rfind(line_end, start, start + _SLICE_BYTES) + 1
        if not start:
            return len(block)
        if end <= start:
            return start
        self._taken.append(block[start:end])
        if len(self._taken) > _MAX_SLICES:
            del self._taken[::2]
            self._distance *= 2
        return end
