"""A Dagster component, so that a project of its own can mount the ingestion specs of a folder."""

import re
from pathlib import Path

import dagster as dg

from autoloader_dagster.build import build_definitions
from autoloader_dagster.specs.loader import load_specs


class IngestionSpecsComponent(dg.Component, dg.Model, dg.Resolvable):
    """Every ingestion spec of a folder as an asset, with its sensor and its schedule.

    A project can mount several folders, and one folder several times. Each mount has a name of its
    own. The assets run with the executor of the project, and use none of its resources.

    Example of a ``defs.yaml``::

        type: autoloader_dagster.IngestionSpecsComponent
        attributes:
          specs_dir: ingestion_specs
          name: shop
          key_prefix: [raw]
          database_url: "{{ env.SHOP_STATE }}"

    Attributes:
        specs_dir: The folder, absolute or relative to the component's own.
        name: Ends the names of sensors, schedules, jobs and resources; letters, digits and ``_``.
            Default: the name of the component's folder.
        key_prefix: What the keys of the assets begin with, one part or a list of them.
        group_name: Group of the assets. Default: one of each namespace or tenant.
        tags: Tags of the assets; a spec can set others of these names.
        spark_remote: Address of a Spark Connect server. Default: ``SPARK_REMOTE``.
        database_url: SQLAlchemy URL of the state database. Default: ``AUTOLOADER_DATABASE_URL``.
            Two mounts with specs of one name need a database each.
    """

    specs_dir: str = "ingestion_specs"
    name: str | None = None
    key_prefix: str | list[str] | None = None
    group_name: str | None = None
    tags: dict[str, str] | None = None
    spark_remote: str | None = None
    database_url: str | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """The definitions of the folder's specs.

        Raises:
            SpecError: There is no such folder.
            UsageError: An attribute cannot be used.
        """
        folder = Path(context.path)
        return build_definitions(
            load_specs(folder / self.specs_dir),
            name=self.name or re.sub(r"\W", "_", folder.name, flags=re.ASCII),
            key_prefix=self.key_prefix or (),
            group_name=self.group_name,
            tags=self.tags,
            spark_remote=self.spark_remote,
            database_url=self.database_url,
        )
