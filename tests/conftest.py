"""Fixtures live in tests/fixtures, one module for each real service."""

import os
import signal

from tests.hostile.corpus import CANARY, CANARY_VARIABLE

pytest_plugins = [
    "tests.fixtures.process",
    "tests.fixtures.postgres",
    "tests.fixtures.s3",
    "tests.fixtures.spark",
    "tests.fixtures.catalogs",
    "tests.fixtures.lake",
    "tests.fixtures.project",
    "tests.fixtures.shared",
]

# A shell has its background jobs ignore SIGINT, and what a test starts would inherit that and never
# end; a signal with a handler is the default's again in a child.
signal.signal(signal.SIGINT, signal.default_int_handler)

# In the environment of all that the tests start, where names of files try to get at it.
os.environ[CANARY_VARIABLE] = CANARY
