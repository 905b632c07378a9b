"""A Dagster component, so that a project of its own can mount the ingestion specs of a folder."""

from pathlib import Path

import dagster as dg

from autoloader_dagster.definitions import build_definitions
from autoloader_dagster.specs.loader import load_specs


class IngestionSpecsComponent(dg.Component, dg.Model, dg.Resolvable):
    """Every ingestion spec of a folder as an asset.

    Attributes:
        specs_dir: The folder, absolute or relative to the component's own.
    """

    specs_dir: str = "ingestion_specs"

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the folder's specs.

        Raises:
            SpecError: There is no such folder.
        """
        return build_definitions(load_specs(Path(context.path) / self.specs_dir))
