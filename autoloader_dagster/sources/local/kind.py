"""Folders as a kind of source: the section ``source`` and what the rest asks of the kind."""

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from autoloader_dagster.sources.base import Refused, SourceKind
from autoloader_dagster.sources.filters import FileFilter
from autoloader_dagster.sources.local.source import LocalFileSource
from autoloader_dagster.specs.registry import source_of_address
from autoloader_dagster.specs.source_section import SourceSection
from autoloader_dagster.specs.tenants import Fence, TenantRules
from autoloader_dagster.specs.values import check_path, shown_url


class LocalSource(SourceSection):
    """A folder that this machine and the Spark server both see."""

    type: Literal["local"] = Field(description="A local or mounted folder.")

    @field_validator("url")
    @classmethod
    def _is_a_folder(cls, value: str) -> str:
        if kind := source_of_address(value):
            raise ValueError(
                f"'{shown_url(value)}' is an address of another kind; use source.type: {kind.name}"
            )
        if "://" in value:
            raise ValueError(
                f"'{shown_url(value)}' is an address, and type: local reads a folder such as "
                "/data/in or ../data"
            )
        check_path(value)
        return value


class Local(SourceKind[LocalSource]):
    """A folder with all its sub folders, or one file."""

    section = LocalSource
    local = True
    dagster_kind = "file"

    def absolute_url(self, section: LocalSource, file: Path) -> str:
        # Links stay as they are written: the path is the files' identity, and must not change when
        # 'current' points to another release.
        return os.path.normpath(file.absolute().parent / Path(section.url).expanduser())

    def refused(self, section: LocalSource, file: Path, rules: TenantRules) -> Refused | None:
        folder = self.absolute_url(section, file)
        if rules.may_read_folder(folder):
            return None
        real = os.path.realpath(folder)
        led = "" if real == folder else f", which leads to '{real}'"
        return Refused(f"read '{folder}'{led}", "folders")

    def open(
        self,
        section: LocalSource,
        chosen: FileFilter,
        spec: str,
        connection: Any,
        fence: Fence | None,
    ) -> LocalFileSource:
        return LocalFileSource(section.url, chosen, spec, fence)


SOURCE = Local()
