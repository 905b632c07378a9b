"""The section ``format``: how the files are written. Each format brings its own keys."""

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from autoloader_dagster.specs.registry import FORMATS, format_of
from autoloader_dagster.specs.section import FormatSection

if TYPE_CHECKING:
    Format = FormatSection
else:
    Format = Annotated[
        reduce(or_, (format_of(kind).section for kind in FORMATS)), Field(discriminator="type")
    ]
