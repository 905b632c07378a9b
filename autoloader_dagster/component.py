"""A Dagster component, so that a project of its own can mount the ingestion specs of a folder."""

import re
from pathlib import Path

import dagster as dg

from autoloader_dagster.build import build_definitions
from autoloader_dagster.specs.loader import load_specs


class IngestionSpecsComponent(dg.Component, dg.Model, dg.Resolvable):
    """Every ingestion spec of a folder as an asset.

    A project can mount several, if no two of their specs have the same name.

    Attributes:
        specs_dir: The folder, absolute or relative to the component's own.
        name: Ends the names of its jobs and of its sensor for lost runs; letters, digits and ``_``.
            Default: the name of the component's folder.
    """

    specs_dir: str = "ingestion_specs"
    name: str | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the folder's specs.

        Raises:
            SpecError: There is no such folder.
        """
        folder = Path(context.path)
        name = self.name or re.sub(r"\W", "_", folder.name, flags=re.ASCII)
        return build_definitions(load_specs(folder / self.specs_dir), name=name)
