"""What a format of files must offer; the rest of the package knows formats only through this.

A format is a module, or a folder, with an object ``FORMAT``, and a line in
``autoloader_dagster.specs.registry``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from autoloader_dagster.counts import counted
from autoloader_dagster.formats.content import HEAD_BYTES, Content
from autoloader_dagster.formats.found_columns import FoundColumns
from autoloader_dagster.formats.large_text import LineCheck, TextFacts
from autoloader_dagster.formats.outcome import Bad, Cell, Look, TakeSample
from autoloader_dagster.formats.reading import ReadContext
from autoloader_dagster.iceberg.column_names import normalise
from autoloader_dagster.iceberg.columns import Column
from autoloader_dagster.iceberg.lineage import SourceFile
from autoloader_dagster.specs.registry import format_of
from autoloader_dagster.specs.section import FormatSection

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from autoloader_dagster.specs.model import IngestionSpec

Section = TypeVar("Section", bound=FormatSection)
Group = TypeVar("Group")


@dataclass(frozen=True, slots=True)
class Readable:
    """A file of a batch that is fit to be read.

    Attributes:
        look: What was found in it.
        file: Where and as what Spark reads it.
    """

    look: Look
    file: SourceFile


class FileFormat(ABC, Generic[Section]):
    """One format of files.

    Attributes:
        section: The model of the section ``format`` for this kind; its ``type`` is the name.
        head_bytes: How much of a file is read at once when it is looked at.
        reads_by_suffix: Spark decompresses a file as its name says, so a file whose content is
            compressed otherwise is staged. False where the content alone counts.
        broken_record: Words before a record that cannot be split into the columns.
        counted_by: What ``Look.rows`` of a file is known from.
    """

    section: ClassVar[type[FormatSection]]
    head_bytes: ClassVar[int] = HEAD_BYTES
    reads_by_suffix: ClassVar[bool] = True
    broken_record: ClassVar[str] = "it is"
    counted_by: ClassVar[str] = "the look at it"

    def own(self, spec: "IngestionSpec") -> Section:
        """The section ``format`` of a spec of this format."""
        section = spec.format
        if not isinstance(section, self.section):
            raise TypeError(f"format.type is {section.type}, which is not read by {type(self)}")
        return section  # type: ignore[return-value]

    # --- before Spark ---------------------------------------------------------------------------

    @abstractmethod
    def look(
        self, content: Content, section: Section, look: Look, rows: int
    ) -> tuple[Look, TakeSample | None]:
        """Look at one file in Python: whether it is what it should be, and what is in it.

        Args:
            content: The file.
            section: How it is written.
            look: What is known of it already.
            rows: About so many rows are wanted as a sample.

        Returns:
            The look, and what takes its sample where that is put off until it is wanted.

        Raises:
            BadFile: The file is bad.
            SourceError: The source cannot be read.
        """

    def split(self, content: Content, section: Section, look: Look) -> Iterator[str]:
        """The records of a file whose look is ``split``, each a text without a line break.

        Raises:
            BadFile: The file is bad.
        """
        raise NotImplementedError(f"{type(self).__name__} splits no files")

    def notes(self, section: Section, looks: Sequence[Look]) -> tuple[str, ...]:
        """What looks like a mistake in the section, told from the files that it chooses."""
        return ()

    def line_check(self, section: Section) -> LineCheck:
        """What Spark asks of each line of a file of which the look has read a part only.

        Args:
            section: How the files are written.
        """
        raise NotImplementedError(f"{type(self).__name__} looks at every file whole")

    def checked(self, section: Section, look: Look, facts: TextFacts) -> Look:
        """The whole look at a file whose lines are all ordinary."""
        return replace(look, unchecked_bytes=None)

    # --- columns and rows -----------------------------------------------------------------------

    @abstractmethod
    def columns(
        self,
        context: ReadContext,
        spec: "IngestionSpec",
        readable: Sequence[Readable],
        hints: Mapping[str, str],
        format_version: Callable[[], int],
    ) -> FoundColumns:
        """The columns that these files have, in order of appearance.

        Args:
            context: The session, the source's options, and the table's columns.
            spec: Style of names, what happens to bad rows.
            readable: The files.
            hints: Types by column or original name.
            format_version: Asked for that of Iceberg, that the table has or will have.
        """

    @abstractmethod
    def frames(
        self, context: ReadContext, spec: "IngestionSpec", readable: Sequence[Readable]
    ) -> list["DataFrame"]:
        """Frames of all rows of these files, each with the table's and the lineage columns.

        Args:
            context: The session, the source's options, the table's columns and the batch.
            spec: Style of names.
            readable: The files, none of them empty.
        """

    def reads_apart(self, look: Look) -> bool:
        """Whether a file must not be read together with those for which the answer differs."""
        return False

    # --- after the write ------------------------------------------------------------------------

    @property
    def broken_rows(self) -> Mapping[str, Bad]:
        """What ``_rescued`` has of a row that makes its whole file bad, with the reason."""
        return {}

    def rows_missing(self, look: Look, rows: int) -> Bad | None:
        """Why a file is bad that gave so many rows; None if they are as many as expected."""
        if look.rows is None or look.rows == rows:
            return None
        what = f"has {counted(look.rows, 'row')} by {self.counted_by}, and {rows} could be read"
        return Bad("RowsMissing", what)

    def finds_rows(self, look: Look) -> bool:
        """Whether ``row_of`` can find rows of a file."""
        return False

    def row_of(
        self, text: Iterator[bytes], section: Section, look: Look, wanted: Sequence[Cell]
    ) -> tuple[str, Cell] | None:
        """Where the first of some cells is, as ``row 7``, and the cell.

        Args:
            text: The head of the file, decompressed.
            section: How it is written.
            look: At the file.
            wanted: The cells.
        """
        raise NotImplementedError(f"{type(self).__name__} finds no rows")

    def row_in_look(
        self, section: Section, look: Look, wanted: Sequence[Cell]
    ) -> tuple[str, Cell] | None:
        """The same, of a file whose rows are in the look."""
        return None


def file_format(section: FormatSection) -> FileFormat:
    """The format that reads files of a section."""
    return format_of(section.type)


def files_by_group(
    readable: Sequence[Readable], kind: type[Group]
) -> dict[Group, list[SourceFile]]:
    """The files that one reader may read together, all of groups of one kind."""
    groups: dict[Group, list[SourceFile]] = {}
    for item in readable:
        assert isinstance(item.look.group, kind)
        groups.setdefault(item.look.group, []).append(item.file)
    return groups


def names_of_cells(
    originals: Sequence[str], context: ReadContext, spec: "IngestionSpec"
) -> list[str]:
    """The table's column of each name, or of each position without a name, of one file."""
    known, columns = by_original(context.columns), [c.name for c in context.columns]
    return normalise(originals, spec.columns.names, known, columns=columns)


def by_original(columns: Sequence[Column]) -> dict[str, str]:
    """The column of each original name; of a name that a file repeats, the first."""
    known: dict[str, str] = {}
    for column in columns:
        # A blank name has its column by its position.
        if column.original.strip():
            known.setdefault(column.original, column.name)
    return known
