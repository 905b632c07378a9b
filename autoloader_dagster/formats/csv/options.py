"""The keys of the section ``format`` for CSV."""

from typing import Literal

from pydantic import Field, model_validator

from autoloader_dagster.specs.section import FormatSection, KeyFault, SpecModel
from autoloader_dagster.specs.timestamp_formats import TimestampFormats
from autoloader_dagster.specs.values import Character, Text


class CsvOptions(SpecModel):
    """How a CSV file is written."""

    header: bool = Field(
        default=True,
        description="Whether the first row holds the column names. Without it the columns are "
        "column_1, column_2, … by position. A first line of Unicode blanks alone is no header: the "
        "file is quarantined.",
    )
    delimiter: Character = Field(
        default=",",
        min_length=1,
        description="Field delimiter, one character. An empty line is no record; a line of "
        "delimiters is one, also where they are tabs. A file with more than 20,000 cells in a "
        "record is quarantined.",
    )
    quote: Character = Field(
        default='"',
        description="Quote character; empty disables quoting. A quote that is not closed "
        "quarantines the file.",
    )
    escape: Character = Field(
        default='"',
        description="Character before a quote inside a quoted value; by default quotes are doubled "
        "(RFC 4180), also if it is empty. With another character, a doubled quote is no escape.",
    )
    encoding: Literal["utf-8", "iso-8859-1", "us-ascii", "utf-16", "utf-16le", "utf-16be"] = Field(
        default="utf-8",
        description="Character encoding of the files. A file with a byte that does not belong to "
        "it is quarantined.",
    )
    multiline: Literal["auto", True, False] = Field(
        default="auto",
        description="Whether a quoted value can contain line breaks, which are kept as they are. "
        "'auto' finds out for every file; with false a file that has such a value is quarantined. "
        "So is a file of more than 128 KiB with such values or in UTF-16 that has a line of blanks "
        "before its header or in a single column, or a CR alone beside other line ends.",
    )
    null_values: tuple[Text, ...] = Field(
        default=("",),
        description="Cells that mean 'no value', for example ['', 'NA'], in quotes or not. An "
        "empty cell without quotes is always null; without '' in this list, \"\" is an empty text.",
    )
    timestamp_formats: TimestampFormats = Field(
        default=(),
        description="Further date and time patterns to try (Spark's letters), for example "
        "'M/d/yyyy H:mm'.",
    )
    comment: Character | None = Field(
        default=None,
        min_length=1,
        description="Lines that begin with this character are ignored, except inside quotes.",
    )

    @model_validator(mode="after")
    def _can_be_told_apart(self) -> "CsvOptions":
        for key, sign in (
            ("quote", self.quote),
            ("escape", self.escape),
            ("comment", self.comment),
        ):
            if sign and sign == self.delimiter:
                raise KeyFault(f"is the delimiter too ({sign!r}); they must differ", key)
        for key, sign in (("quote", self.quote), ("comment", self.comment)):
            if sign and sign <= " ":
                raise KeyFault("is a blank or a control character; use a visible one", key)
        for name, sign in (("quote", self.quote), ("escape", self.escape)):
            if self.comment and self.comment == sign:
                raise KeyFault(f"is the {name} too ({sign!r}); they must differ", "comment")
        if not self.escape:
            # Without one Spark takes an empty value in quotes for a quote. The model is frozen, and
            # not handed out yet.
            object.__setattr__(self, "escape", self.quote)
        return self


class CsvFormat(FormatSection):
    """Delimited text."""

    type: Literal["csv"] = Field(description="Comma- or otherwise delimited text.")
    options: CsvOptions = Field(default=CsvOptions(), description="How the files are written.")
