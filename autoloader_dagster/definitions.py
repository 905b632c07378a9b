"""Our own code location: the definitions of the specs of ``AUTOLOADER_SPECS_DIR``."""

import gc
import os

# Importing makes many objects and no garbage. To look for it takes a fifth of the time in which the
# process of a run begins.
_collects = gc.isenabled()
gc.disable()
try:
    from autoloader_dagster import failpoints
    from autoloader_dagster.build import load_definitions

    failpoints.arm_from(os.environ)
    defs = load_definitions()
finally:
    if _collects:
        gc.freeze()
        gc.enable()
