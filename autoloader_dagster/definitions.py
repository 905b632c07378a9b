"""Our own code location: the definitions of the specs of ``AUTOLOADER_SPECS_DIR``."""

import os

from autoloader_dagster import failpoints
from autoloader_dagster.build import load_definitions

failpoints.arm_from(os.environ)
defs = load_definitions()
