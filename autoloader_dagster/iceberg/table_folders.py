"""Where the tables of a catalog have their files, and whose folders are one another's."""

import posixpath
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from autoloader_dagster.errors import TableError
from autoloader_dagster.iceberg.sql import quoted
from autoloader_dagster.iceberg.statements import Statements

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

# Catalog, namespaces, table.
Name = tuple[str, ...]

_NO_NAMESPACE = re.compile("SCHEMA_NOT_FOUND|NoSuchNamespaceException|Namespace does not exist")
# What catalogs say that have no tables outside of a namespace, or no namespaces within others.
_NOT_A_NAMESPACE = re.compile(
    f"{_NO_NAMESPACE.pattern}|REQUIRES_SINGLE_PART_NAMESPACE|MISSING_DATABASE|Nested databases"
    "|IllegalArgumentException|ValidationException|UnsupportedOperationException"
)
_PART = re.compile(r"`((?:[^`]|``)*)`|([^.`]+)")
_DETAILS = ("# Detailed Table Information", "# Detailed View Information")
_OF_VIEW = re.compile(r"'location' = '([^']*)'")
# Where a table may have files besides its own folder.
_PATHS = re.compile(r"write\.(?:data|metadata|object-storage|folder-storage)\.path")
_ADDRESS = re.compile(r"(?:([a-z][a-z0-9+.-]*):)?(?://([^/]*))?(.*)", re.IGNORECASE | re.DOTALL)
# Names of one and the same kind of store.
_SAME_SCHEME = {"s3a": "s3", "s3n": "s3", "abfs": "abfss", "wasb": "wasbs", "file": ""}


@dataclass(frozen=True, slots=True)
class TableFolders:
    """Where a table or view has its files.

    Attributes:
        name: ``catalog.namespace.table``.
        folders: Addresses, its location first.
        unknown: Why nobody knows where they are; empty if that is known.
    """

    name: str
    folders: tuple[str, ...] = ()
    unknown: str = ""


class CatalogFolders:
    """Where all tables and views of a catalog have their files; each is asked for once.

    Args:
        spark: A session whose server has the catalog.
        progress: Called with what is being done.
    """

    def __init__(self, spark: "SparkSession", progress: Callable[[str], None]) -> None:
        self._spark = spark
        self._progress = progress
        self._table = ""
        self._listed: dict[str, dict[Name, bool]] = {}
        self._known: dict[Name, TableFolders] = {}

    def of(self, table: str) -> TableFolders:
        """The folders of a table that is there.

        Raises:
            TableError: The catalog or the table refuses.
        """
        return self._described(tuple(table.split(".")))

    def others(self, table: str) -> list[TableFolders]:
        """The folders of everything else in a table's catalog.

        Raises:
            TableError: The tables of the catalog cannot be listed.
        """
        self._table = table
        own = tuple(table.split("."))
        if own[0] not in self._listed:
            self._progress(f"list the tables of catalog {own[0]}")
            self._listed[own[0]] = dict(self._below(own[:1]))
        # A catalog that is made of folders does not show a namespace which is a table's folder.
        found = self._listed[own[0]] | dict(self._below(own))
        found.pop(own, None)
        for number, (name, is_view) in enumerate(sorted(found.items()), 1):
            if name not in self._known:
                self._progress(f"look where table {number:,} of {len(found):,} has its files")
                self._known[name] = self._folders_of(name, is_view)
        return [self._known[name] for name in sorted(found)]

    def _below(self, root: Name) -> Iterator[tuple[Name, bool]]:
        """What is in a namespace and in those below it; and whether each is a view."""
        waiting, seen = [root], {root}
        while waiting:
            at = waiting.pop()
            yield from self._tables_in(at, at == root).items()
            for row in self._list("namespaces", at, at == root):
                name = (root[0], *_parts(row["namespace"]))
                # A catalog without nested namespaces may give the same ones again.
                if name not in seen and name[: len(at)] == at:
                    seen.add(name)
                    waiting.append(name)

    def _tables_in(self, at: Name, perhaps: bool = False) -> dict[Name, bool]:
        found = self._list("tables", at, perhaps)
        tables = [row["tableName"] for row in found if not row["isTemporary"]]
        try:
            views = [row["viewName"] for row in self._list("views", at) if not row["isTemporary"]]
        except TableError:  # the catalog has no views
            views = []
        return {(*at, name): False for name in tables} | {(*at, name): True for name in views}

    def _list(self, what: str, at: Name, perhaps: bool = False) -> list[Any]:
        """The tables, views or namespaces of a namespace, or of what is perhaps none."""
        try:
            return Statements(self._spark, self._table).query(
                f"list the {what} of {'.'.join(at)}, to find those in the folder of",
                f"show {what} in {_in_sql(at)}",
            )
        except TableError as error:
            cause = f"{type(error.__cause__).__name__} {error.__cause__}"
            if (_NOT_A_NAMESPACE if perhaps else _NO_NAMESPACE).search(cause):
                return []
            raise

    def _folders_of(self, name: Name, is_view: bool) -> TableFolders:
        try:
            return self._described(name)
        except TableError as error:
            shown = ".".join(name)
            # One that was dropped meanwhile has no files; a view of another engine's has no rows.
            if is_view or name not in self._tables_in(name[:-1]):
                return TableFolders(shown)
            return TableFolders(shown, unknown=error.what)

    def _described(self, name: Name) -> TableFolders:
        shown = ".".join(name)
        statements = Statements(self._spark, shown)
        rows = statements.query(
            "look where the files are of", f"describe table extended {_in_sql(name)}"
        )
        texts = [(row["col_name"], row["data_type"] or "") for row in rows]
        # Columns come first, and may have any name.
        begin = max((i for i, (key, _) in enumerate(texts) if key in _DETAILS), default=0)
        details = dict(texts[begin:])
        of_view = "View Properties" in details or details.get("Type") == "VIEW"
        if of_view:
            return TableFolders(shown, tuple(_OF_VIEW.findall(details.get("View Properties", ""))))
        location = details.get("Location", "")
        if not location:
            return TableFolders(shown, unknown=f"the catalog does not say where {shown} is")
        if not _PATHS.search(details.get("Table Properties", "")):
            return TableFolders(shown, (location,))
        properties = statements.query(
            "read the properties of", f"show tblproperties {_in_sql(name)}"
        )
        paths = {row["key"]: row["value"] for row in properties if _PATHS.fullmatch(row["key"])}
        for key, value in paths.items():
            if value.endswith("(redacted)"):
                return TableFolders(shown, (location,), f"Spark hides {key} of {shown}")
        return TableFolders(shown, (location, *paths.values()))


def overlap(folder: str, other: str) -> bool:
    """Whether two addresses are one place, or one of them lies below the other."""
    (scheme, host, path), (other_scheme, other_host, other_path) = _place(folder), _place(other)
    # What an address leaves out is the server's default, which nobody knows here.
    if scheme and other_scheme and scheme != other_scheme:
        return False
    if host and other_host and host != other_host:
        return False
    return path.startswith(other_path) or other_path.startswith(path)


def _place(address: str) -> tuple[str, str, str]:
    match = _ADDRESS.fullmatch(address)
    scheme, host, path = match.groups() if match else ("", "", address)
    scheme = (scheme or "").lower()
    # In normpath, two slashes at the beginning are not one.
    path = posixpath.normpath("/" + path.lstrip("/")).rstrip("/") + "/"
    return _SAME_SCHEME.get(scheme, scheme), host or "", path


def _parts(shown: str) -> Name:
    """The parts of a name as Spark shows it, with quotes where they are needed."""
    return tuple(plain or inner.replace("``", "`") for inner, plain in _PART.findall(shown))


def _in_sql(name: Name) -> str:
    return ".".join(quoted(part) for part in name)
