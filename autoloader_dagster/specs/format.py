"""The section ``format``: how the files are written."""

from typing import Annotated

from pydantic import Field

from autoloader_dagster.formats.csv.options import CsvFormat
from autoloader_dagster.formats.json.options import JsonFormat
from autoloader_dagster.formats.parquet.options import ParquetFormat

UNSUPPORTED_FORMATS = ("avro", "orc", "xml", "text", "binary")
Format = Annotated[CsvFormat | JsonFormat | ParquetFormat, Field(discriminator="type")]
