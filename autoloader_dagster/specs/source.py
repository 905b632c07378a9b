"""The section ``source``: where the files are. Each kind of source brings its own keys."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from autoloader_dagster.specs.registry import SOURCES, source_of
from autoloader_dagster.specs.source_section import SourceSection

if TYPE_CHECKING:
    Source = SourceSection
else:
    Source = Annotated[
        reduce(or_, (source_of(kind).section for kind in SOURCES)), Field(discriminator="type")
    ]
