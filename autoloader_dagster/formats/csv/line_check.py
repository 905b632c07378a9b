"""Which lines of a CSV file are records by themselves, in SQL.

The same as ``RecordScan``, for lines that leave no doubt: a file with any other line is scanned.
"""

from autoloader_dagster.formats.csv.options import CsvOptions
from autoloader_dagster.formats.csv.reader_limits import MAX_COLUMNS
from autoloader_dagster.formats.large_text import LineCheck, can_check
from autoloader_dagster.iceberg.sql import literal

_HAS_A_CHARACTER = r"rlike '[^\\x00-\\x20]'"


def can_check_lines(options: CsvOptions) -> bool:
    """Whether Spark can check files with these options; it is not sure of each of them."""
    return can_check(options.encoding) and options.multiline is not True


def csv_line_check(options: CsvOptions) -> LineCheck:
    """What is asked of each line of a file whose look found an ordinary beginning."""
    comment = f"startswith(line, {literal(options.comment)})" if options.comment else "false"
    delimiter = literal(options.delimiter)
    conditions = [
        "(not contains(line, '\\r') or instr(line, '\\r') = char_length(line))",
        f"(octet_length(value) <= {MAX_COLUMNS} or {_has_few_cells(delimiter)})",
    ]
    if options.quote:
        conditions.append(f"({comment} or {_ends_outside_of_quotes(options)})")
    if options.delimiter <= " ":
        # Spark drops a record of blanks.
        conditions.append(f"(not contains(line, {delimiter}) or line {_HAS_A_CHARACTER})")
    record = f"case when line = '' or {comment} then false when substring(line, 1, 1) > ' ' "
    record += f"then true else line {_HAS_A_CHARACTER} end"
    return LineCheck(options.encoding, " and ".join(conditions), record)


def _has_few_cells(delimiter: str) -> str:
    return f"char_length(line) - char_length(replace(line, {delimiter}, '')) < {MAX_COLUMNS}"


def _ends_outside_of_quotes(options: CsvOptions) -> str:
    """SQL: no value goes on in the next line, unless the one before does.

    A quote opens a value only after a delimiter or at the beginning of the line, and the next one
    closes it. So the line ends inside of a value only if its last quote is at such a place. Doubled
    quotes are removed first, unless another character escapes quotes: they neither open nor close a
    value, and each quote that is left does what it did.
    """
    delimiter, quote = literal(options.delimiter), literal(options.quote)
    opening = literal(options.delimiter + options.quote)
    single, escaped = "line", ""
    if options.escape == options.quote:
        single = f"replace(line, {literal(2 * options.quote)}, '')"
    else:
        escaped = f"not contains(line, {literal(options.escape)}) and "
    last = f"substring_index({single}, {quote}, -1)"
    opens = f"endswith(concat({delimiter}, {single}), concat({opening}, {last}))"
    return f"(not contains(line, {quote}) or ({escaped}not {opens}))"
