"""What validate takes without a server, Spark takes; and what it refuses, Spark refuses."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pyspark.errors import PySparkException

from autoloader_dagster.formats.timestamp_patterns import compiled
from autoloader_dagster.iceberg.sql import literal
from autoloader_dagster.specs.sql_types import check_sql_type
from autoloader_dagster.specs.table_properties import check_property
from autoloader_dagster.specs.timestamp_formats import LETTERS, check_timestamp_format
from autoloader_dagster.specs.values import check_partition_by
from tests.fixtures.lake import Lake, write_ids

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_TYPES = (
    "string", "STRING ", "decimal", "dec(4)", "numeric ( 3 , 1 )", "decimal(38,38)", "decimal(39)",
    "decimal(50,2)", "decimal(5,9)", "decimal()", "decimal(a)", "decimal(3,)", "decimal(10,-2)",
    "decimal(1_0)", "decimal(10L)", "int", "integer", "int(4)", "int unsigned", "bigint", "long",
    "double precision", "float", "real", "boolean", "binary", "binary(3)", "date", "timestamp",
    "timestamp_ltz", "timestamp_ntz", "timestamp without  time zone", "timestamp with time zone",
    "timestamp(3)", "varchar(10)", "varchar", "varchar(9999999999)", "char(5)", "char", "time",
    "character(4)", "character varying(3)", "nvarchar(3)", "string(5)", "string collate unicode",
    "string collate system.builtin.unicode", "variant", "variant<int>", "array<int>", "array",
    "array<>", "array<int>>", "array<array<int>>", "array<int not null>", "array<char(3)>",
    " array < map < string , decimal ( 3 , 2 ) > > ", "map<string,int>", "map<int>",
    "map<int,int,int>", "map<string,decimal(3,5)>", "struct", "struct<a>", "struct<a:>",
    "struct<a:int>", "struct<a int, b string>", "struct<a:int,>", "struct<a::int>",
    "struct<a: int not null, b: string comment 'x'>", "struct<a:int COMMENT 'it''s'>",
    'struct<a:int comment "x">', "struct<a:int comment 'x' 'y'>", "struct<a:int comment r'x'>",
    "struct<a:int comment 'x' not null>", "struct<a:int default 3>", "struct<a-b:int>",
    "struct<a.b:int>", "struct<$a:int>", "struct<1:int>", "struct<1a:int>", "struct<_a:int>",
    "struct<`a b`:int>", "struct<`a``b`:int>", "struct<'a':int>", "struct<select:int>",
    "struct<\u00e9:int>", "struct<a:string collate unicode>", "struct<a:int collate unicode>",
    "struct<a:decimal(50,2)>", "struct<a:array<map<int,struct<b:int>>>>", "string) , evil (x int",
    "string -- x", "string;", "string'", "string`", "\ufeffint", "string\u00a0", "", "text",
)  # fmt: skip
_FORMATS = (
    "nonsense!!", "YYYY-MM-dd", "yyyy-MM-dd!!", "uuuu-MM-dd", "EEE, d MMM yyyy", "yyyy-MM-ddTHH:mm",
    "yyyy-MM-dd'T'HH:mm", "d.M.yyyy 'o''clock'", "yyyy''MM", "yyyyy''yyyy", "''''", "yyyy'", "'abc",
    "[yyyy", "yyyy]", "[yyyy]]", "yyyy[-MM[-dd]]", "[" * 100, "'['yyyy]", "yyyy']'", "{", "yyyy#",
    "yyyy-MM-dd'{x}'", "yyyyMMddHHmmssSSS", "MMM d, yyyy h:mm a", "yyyy/MM/dd", "$yyyy", "%Y-%m-%d",
)  # fmt: skip
_PARTITIONS = (
    ["a", "a"], ["A", "a"], ["a", "b", "a"], ["a", "b"], ["a", "bucket(2, a)", "truncate(2, a)"],
    ["bucket(3, a)", "bucket(4, a)"], ["truncate(2,a)", "truncate(3,a)"], ["days(t)", "days(t)"],
    ["days(t)", "hours(t)"], ["year(t)", "years(t)"], ["years(t)", "months(u)"], ["hours(t)", "t"],
    ["days(t)", "bucket(2, t)"],
)  # fmt: skip
_PROPERTIES = (
    ("format-version", "1"), ("format-version", "2"), ("format-version", "3"),
    ("format-version", "0"), ("format-version", "99"), ("format-version", "x"),
    ("format-version", " 2"), ("write.format.default", "parquet"), ("write.format.default", "ORC"),
    ("write.format.default", "avro"), ("write.format.default", "csv"),
    ("write.format.default", ""), ("write.format.default", "puffin"),
    ("write.delete.format.default", "csv"), ("write.delete.format.default", "orc"),
    ("write.distribution-mode", "x"), ("write.distribution-mode", "hash"),
    ("write.distribution-mode", "none"), ("write.distribution-mode", "RANGE"),
    ("location", "/tmp/x"), ("owner", "me"), ("provider", "iceberg"), ("external", "true"),
    ("is_managed_location", "true"), ("table_type", "x"), ("collation", "x"), ("comment", "x"),
    ("Location", "/x"), ("x", "y"),
)  # fmt: skip


def _takes(check: Callable[[Any], object], value: Any) -> bool:
    try:
        check(value)
    except ValueError:
        return False
    return True


def _runs(spark: "SparkSession", *statements: str) -> bool:
    try:
        for statement in statements:
            spark.sql(statement).collect()
    except PySparkException:
        return False
    return True


def test_types_of_hints(spark: "SparkSession") -> None:
    for each in _TYPES:
        runs = _runs(spark, f"select cast(null as {each}) as v")
        assert _takes(check_sql_type, each) == runs, each


def test_patterns_of_times(spark: "SparkSession") -> None:
    repeated = [letter * count for letter in LETTERS for count in range(1, 12)]
    for each in (*_FORMATS, *repeated):
        asked = f"select try_to_timestamp(v, {literal(each)}) from values ('2020'), ('x') as t(v)"
        takes = _takes(check_timestamp_format, each)
        assert takes == _runs(spark, asked), each
        if takes:
            compiled(each)


def test_partition_fields(lake: Lake, spark: "SparkSession") -> None:
    assert _runs(spark, f"create namespace lake.{lake.namespace}")
    for number, each in enumerate(_PARTITIONS):
        made = (
            f"create table lake.{lake.namespace}.p{number} (a int, b int, t timestamp, u timestamp)"
            f" partitioned by ({', '.join(each)})"
        )
        assert _takes(check_partition_by, each) == _runs(spark, made), each


def test_properties(lake: Lake, spark: "SparkSession") -> None:
    assert _runs(spark, f"create namespace lake.{lake.namespace}")
    for number, (key, value) in enumerate(_PROPERTIES):
        table = f"lake.{lake.namespace}.p{number}"
        pair = f"{literal(key)} = {literal(value)}"
        made = f"create table {table} (a int) tblproperties ({pair})"
        runs = _runs(spark, made, f"insert into {table} values (1)")
        assert _takes(lambda text, key=key: check_property(key, text), value) == runs, (key, value)


def test_a_table_of_each_version_and_file_format_loads(lake: Lake, spark: "SparkSession") -> None:
    for name, key, value in (
        ("one", "format-version", 1),
        ("three", "format-version", "3"),
        ("orc", "write.format.default", "orc"),
        ("avro", "write.format.default", "AVRO"),
    ):
        write_ids(lake.folder(name), "a.csv", 1, 2)
        source = {"type": "local", "url": str(lake.folder(name))}
        table = {"name": f"lake.{lake.namespace}.{name}", "properties": {key: value}}
        lake.load(lake.ingestion(name, source=source, table=table))
        rows = spark.sql(f"select id from lake.{lake.namespace}.{name}").collect()
        assert sorted(row["id"] for row in rows) == [1, 2], name
