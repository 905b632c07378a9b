"""The peak memory of this process."""

import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_bytes() -> int:
    """The most bytes that this process ever had in memory.

    Linux counts into ``ru_maxrss`` of a new process what its parent had when it started it, so its
    own high-water mark is read where there is one. Elsewhere (macOS) ``ru_maxrss`` is in bytes.
    """
    if _STATUS.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
