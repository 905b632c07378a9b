"""One signal ends a command in order, a second one at once."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_EXIT_CODE = 130


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Within, SIGTERM is as good as Ctrl-C, and the second of either ends the process at once.

    Dagster puts handlers of its own in place while it works, so the signals are counted where no
    handler matters: Python writes each of them to the wakeup descriptor as it arrives.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    terminated = signal.signal(signal.SIGTERM, signal.default_int_handler)
    threading.Thread(target=_count, args=(reading,), name="signals", daemon=True).start()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminated)
        signal.set_wakeup_fd(before)
        os.close(writing)


def _count(reading: int) -> None:
    came = 0
    while received := os.read(reading, 1):
        came += received[0] in (signal.SIGINT, signal.SIGTERM)
        if came == 2:
            os.write(2, b"stopped at once; the next run settles what was begun\n")
            os._exit(_EXIT_CODE)
    os.close(reading)
