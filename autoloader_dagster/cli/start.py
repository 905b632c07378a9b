"""Starts the ``autoloader`` command: imports it, and ends in order if Ctrl-C comes before that.

Importing takes a second, and nothing has begun by then.
"""

import gc
import os
import sys


def main() -> int:
    """Run the command line; returns its exit code."""
    try:
        from autoloader_dagster.cli import app
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.stderr.flush()
        # Another Ctrl-C could come while Python ends.
        os._exit(130)
    try:
        return app.main()
    finally:
        # Python looks for garbage once more as it ends; of what is kept for good it asks nothing.
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
