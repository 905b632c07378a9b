"""``query``: Spark SQL on the tables, to look at the data."""

import itertools
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoloader_dagster.cli.output import (
    JsonOption,
    print_csv,
    print_json,
    print_rows,
    progress,
    say,
    warn,
)
from autoloader_dagster.cli.project import open_specs
from autoloader_dagster.counts import counted
from autoloader_dagster.errors import AutoloaderError, SpecError, TableError, UsageError
from autoloader_dagster.iceberg.sql import quoted
from autoloader_dagster.redaction import first_line
from autoloader_dagster.settings import Settings, load_settings
from autoloader_dagster.spark.catalogs import catalogs_in, unavailable
from autoloader_dagster.spark.errors import is_of_catalog
from autoloader_dagster.spark.read_only import Statement, check_not_empty, not_a_query, read_only
from autoloader_dagster.spark.values import showable, structs_in

if TYPE_CHECKING:
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

# The root of the parsed plan.
_READING_COMMAND = re.compile(r"== Parsed Logical Plan ==\n'?(?:Show|Describe|Explain)\w*\b")
# At the end of the first line of an error.
_POSITION = re.compile(r"\bline (\d+)(,? pos \d+\)?)$")
# Rows on a screen.
_SHOWN = 100
# How much a hint asks for and shows.
_MOST_NAMESPACES = 10
_MOST_TABLES = 20
_UNKNOWN = ("TABLE_OR_VIEW_NOT_FOUND", "SCHEMA_NOT_FOUND", "NAMESPACE_NOT_FOUND")


def query(
    sql: Annotated[
        str, typer.Argument(metavar="SQL", help="For example 'select * from lake.a.b'.")
    ],
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"At most so many rows; without it {_SHOWN}, and all for --csv and --json.",
            show_default=False,
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Also run a statement that changes something.")
    ] = False,
    as_json: JsonOption = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV with a header instead of a table.")
    ] = False,
) -> None:
    """Run Spark SQL on the tables and show the result; it only reads, unless --write is given.

    Example: autoloader query --csv 'select * from lake.a.b' > b.csv
    """
    if as_json and as_csv:
        raise UsageError("--json and --csv exclude each other", "Give one of them.")
    settings = load_settings()
    if limit is None and not (as_csv or as_json):
        limit = _SHOWN
    with ExitStack() as connected:
        with progress() as tell:
            tell("connect to Spark")
            from autoloader_dagster.spark.session import connect

            spark = connected.enter_context(connect(settings, tell.download))
            tell("run the query")
            one_more = None if limit is None else limit + 1
            names, rows = run_sql(
                spark, sql, one_more, settings, write=write, as_objects=as_csv or as_json
            )
        chosen = itertools.islice(rows, limit)
        if as_csv:
            print_csv(names, chosen)
        shown = [] if as_csv else list(chosen)
        more = next(rows, None) is not None
    if as_json:
        print_json(result_json(names, shown))
    if as_csv or as_json:
        if more:
            warn(f"there are more than {counted(limit or 0, 'row')}; --limit prints more")
        return
    print_rows(names, shown)
    say(counted(len(shown), "row") + (f"; there are more than {limit}" if more else ""))


def result_json(names: list[str], rows: list[tuple[Any, ...]]) -> dict[str, Any]:
    """The result for programs; a contract.

    Raises:
        UsageError: Columns have the same name: an object of JSON would keep the last one only.
    """
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise UsageError(
            f"{names.count(repeated[0])} columns of the result are named '{repeated[0]}', and JSON "
            "can show one of them only",
            "Give them other names with AS, or use --csv.",
        )
    return {"columns": names, "rows": [dict(zip(names, row, strict=True)) for row in rows]}


def _check_field_names(schema: "StructType") -> None:
    """Check that no struct in the columns has two fields of one name.

    Raises:
        UsageError: It has: an object of JSON would keep the last one only.
    """
    for column in schema.fields:
        for names in structs_in(column.dataType):
            repeated = [name for name, count in Counter(names).items() if count > 1]
            if repeated:
                raise UsageError(
                    f"{names.count(repeated[0])} fields in column '{column.name}' of the result "
                    f"are named '{repeated[0]}', and JSON can show one of them only",
                    "Give them other names, or leave out --json and --csv, which show a struct as "
                    "JSON.",
                )


def run_sql(
    spark: "SparkSession",
    sql: str,
    limit: int | None,
    settings: Settings,
    *,
    write: bool = False,
    as_objects: bool = False,
) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """The column names and the first rows of a statement, which come as they are read.

    Args:
        spark: A session.
        sql: One statement.
        limit: At most so many rows; None: all.
        settings: For the names of the tables, if it names none of them.
        write: Whether the statement may change something.
        as_objects: Whether structs become objects of JSON.

    Raises:
        TableError: There is no such table; the hint lists those that there are.
        UsageError: The statement cannot be run as it is written, or it does not only read.
    """
    if write:
        check_not_empty(sql)
        sql = sql.rstrip().rstrip(";")
    else:
        statement = read_only(sql)
        sql = statement.sql
        with _errors_in_words(spark, sql, settings, lines_before=1):
            _check_that_spark_reads(spark, statement)
    with _errors_in_words(spark, sql, settings):
        frame = spark.sql(sql)
        if as_objects:
            _check_field_names(frame.schema)
        shown = showable(frame if limit is None else frame.limit(limit))
        names = list(shown.names)

    def read() -> Iterator[tuple[Any, ...]]:
        with _errors_in_words(spark, sql, settings):
            yield from map(shown.decode, shown.frame.toLocalIterator())

    rows = read()
    # Here, because most of what can fail has failed when the first one is there.
    first = list(itertools.islice(rows, 1))
    return names, itertools.chain(first, rows)


@contextmanager
def _errors_in_words(
    spark: "SparkSession", sql: str, settings: Settings, lines_before: int = 0
) -> Iterator[None]:
    """Raise Spark's errors as ours; so many lines that Spark got are not the user's."""
    from pyspark.errors import PySparkException

    try:
        yield
    except PySparkException as error:
        condition = error.getCondition() or ""
        if condition.startswith(_UNKNOWN) or "NoSuchTable" in str(error):
            raise TableError(
                _first_line(error, lines_before), _tables_in_words(spark, settings)
            ) from error
        if is_of_catalog(error):
            raise unavailable(spark, _catalog_in(spark, sql), error) from error
        if condition in ("INVALID_HANDLE", "NO_ACTIVE_SESSION") or not condition:
            raise
        raise UsageError(_first_line(error, lines_before), "Correct the statement.") from error


def _catalog_in(spark: "SparkSession", sql: str) -> str:
    """The catalog that a statement names; empty if it names none, or several."""
    found = [
        name
        for name in catalogs_in(spark.conf.getAll)
        if re.search(rf"\b{re.escape(name)}`?\.", sql)
    ]
    return found[0] if len(found) == 1 else ""


def _check_that_spark_reads(spark: "SparkSession", statement: Statement) -> None:
    """Check that Spark's parser takes the statement for a query, or for SHOW, DESCRIBE or EXPLAIN.

    Only a query can be a subquery. What is analysed here begins as a statement that reads; Spark
    executes some others, such as EXECUTE IMMEDIATE, while it analyses them. A line of ours is
    before the user's text in each case.

    Raises:
        UsageError: The statement is something else.
        PySparkException: Spark cannot parse or resolve it.
    """
    from pyspark.errors import ParseException

    if statement.is_query:
        try:
            _ = spark.sql(f"select * from (\n{statement.sql}\n)").schema
            return
        except ParseException:
            # Its position may be in the last line, which is ours; EXPLAIN has no such line.
            spark.sql(f"explain extended\n{statement.sql}")
            raise not_a_query() from None
    # Several rows if Spark cannot even plan it: then they are the lines of its error.
    plan = spark.sql(f"explain extended\n{statement.sql}").collect()
    if not _READING_COMMAND.match("\n".join(row[0] for row in plan)):
        raise not_a_query()


def _first_line(error: Exception, lines_before: int = 0) -> str:
    line = re.sub(r"\s*SQLSTATE: \w+", "", first_line(error)).rstrip(" ;")
    return _POSITION.sub(lambda found: f"line {int(found[1]) - lines_before}{found[2]}", line)


def _tables_in_words(spark: "SparkSession", settings: Settings) -> str:
    """A hint with the tables beside those of the specs; a catalog may have thousands."""
    places: set[str] = set()
    with suppress(SpecError):
        names = [loaded.spec.table.name.split(".") for loaded in open_specs(settings).specs]
        places = {".".join([catalog, *map(_as_spark, inner)]) for catalog, *inner, _ in names}
    namespaces = itertools.chain.from_iterable(
        _namespaces(spark, place) for place in sorted(places or {"lake"})
    )
    asked = list(itertools.islice(namespaces, _MOST_NAMESPACES + 1))
    found = sorted(
        f"{namespace}.{row['tableName']}"
        for namespace in asked[:_MOST_NAMESPACES]
        for row in _rows(spark, f"show tables in {namespace}")
    )
    shown = ", ".join(found[:_MOST_TABLES])
    if len(found) > _MOST_TABLES or len(asked) > _MOST_NAMESPACES:
        return f"Some of the tables: {shown}. 'show tables in NAMESPACE' lists more."
    if not found:
        return "There are no tables yet; 'autoloader run NAME' makes one."
    return f"The tables are {shown}."


def _namespaces(spark: "SparkSession", place: str) -> Iterator[str]:
    """A catalog's namespaces, or a namespace itself, and those within; Spark quotes its names."""
    if "." in place:
        yield place
    for row in _rows(spark, f"show namespaces in {place}"):
        name = f"{place.split('.')[0]}.{row[0]}"
        if name != place:
            yield from _namespaces(spark, name)


def _as_spark(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else quoted(name)


def _rows(spark: "SparkSession", statement: str) -> list[Any]:
    from pyspark.errors import PySparkException

    try:
        return spark.sql(statement).collect()
    except (PySparkException, AutoloaderError):  # a hint must not hide the error itself
        return []
