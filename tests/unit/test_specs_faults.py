"""Every kind of fault in a spec, with the words and the line that a person gets."""

# ruff: noqa: E501  (the words are compared whole, and read best as a table)
import random
from pathlib import Path

import pytest

from autoloader_dagster.specs.loader import load_specs

GOOD = """\
source:
  type: local
  url: data
format:
  type: csv
table:
  name: lake.shop.orders
"""
S3 = GOOD.replace("type: local\n  url: data", "type: s3\n  url: s3://in/x")


def faults_of(tmp_path: Path, text: str | bytes) -> list[str]:
    """What is said of a spec with this text, without the file's name."""
    file = tmp_path / "orders.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    loaded = load_specs(tmp_path)
    assert all(fault.file == file for fault in loaded.faults)
    assert len(loaded.specs) + len(loaded.broken) == 1
    return [str(fault).split("orders.yaml", 1)[1] for fault in loaded.faults]


def test_a_good_spec_has_no_faults(tmp_path: Path) -> None:
    assert faults_of(tmp_path, GOOD) == []


QUOTE_IT = "a value that begins with one of * & ! % @ ` { [ needs quotes"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            "source:\n\ttype: s3\n",
            ":2  not valid YAML: a tab is not allowed here; indent with spaces",
        ),
        (
            "source:\n  include: [*.csv]\n",
            f":2  not valid YAML: YAML aliases are not used here; {QUOTE_IT}",
        ),
        ("a: &x 1\nb: *x\n", f":2  not valid YAML: YAML aliases are not used here; {QUOTE_IT}"),
        (
            "partition:\n  pattern: {MM}-{dd}.csv\n",
            f":2  not valid YAML: the indentation fits nothing above, or {QUOTE_IT}",
        ),
        ("name: @x\n", f":1  not valid YAML: {QUOTE_IT}"),
        (
            "name: a\ndescription: note: this\n",
            ":2  not valid YAML: a ':' too many; quote the value, or correct the indentation",
        ),
        (
            "name: a\nsource: {type: s3\nformat: 2\n",
            ":2  not valid YAML: a { or [ is not closed, or a comma is missing",
        ),
        (
            'name: a\ndescription: "long\nversion: 1\n',
            ":2  not valid YAML: a quote is opened and never closed",
        ),
        (
            'description: "C:\\query"\n',
            r":1  not valid YAML: a \ before a letter YAML does not know; use single quotes",
        ),
        (
            "name: a\nsource\n",
            ":2  not valid YAML: neither 'key: value' nor part of the value above",
        ),
        (
            "name: a\n---\nname: b\n",
            ":2  not valid YAML: a second document (---) begins here; a file holds one",
        ),
        ('name: "\\U99999999"\n', "  is not valid YAML"),
        (
            "a:\n  b: " + "[" * 30,
            ":2  has more than 30 levels, one within the other; move it up, or take it out",
        ),
        (
            "[" * 3000 + "]" * 3000,
            ":1  has more than 30 levels, one within the other; move it up, or take it out",
        ),
        (
            "checks:\n" + "- a\n" * 30_000,
            ":19999  has more than 20,000 keys and values; shorten it",
        ),
        ("name: a\nowners: \x07\n", ":2  there is a control character here; remove it"),
        (b"name: a\ndescription: caf\xe9\n", ":2  is not UTF-8 (byte 0xe9); save it as UTF-8"),
        (GOOD.encode("utf-16"), ":1  is not UTF-8 (byte 0xff); save it as UTF-8"),
        (
            b"#" * (1 << 20) + b"\n",
            "  is larger than 256 KiB, which no YAML file here should be; shorten it",
        ),
        ("", ":1  the file is empty; it needs source, format and table"),
        ("# nothing yet\n", ":1  the file is empty; it needs source, format and table"),
        (
            "- a\n- b\n",
            ":1  a spec is made of keys (source, format, table), and this file is not",
        ),
        ("text\n", ":1  a spec is made of keys (source, format, table), and this file is not"),
    ],
)
def test_a_file_that_is_no_spec(tmp_path: Path, text: str | bytes, fault: str) -> None:
    assert faults_of(tmp_path, text) == [fault]


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ("tabel: x", ":8  'tabel' is not a key here; did you mean 'table'?"),
        ("schedule: daily", ":8  'schedule' is not a key here; it belongs in trigger"),
        ("header: true", ":8  'header' is not a key here; it belongs in format.options"),
        (
            "zzz: 1",
            ":8  'zzz' is not a key here; the keys are version, name, description, status, owners, "
            "tags, source, format, schema, partition, table, trigger, batch, errors, checks",
        ),
        ("name: a\nname: b", ":9  'name' is written twice, first on line 8"),
        ("name: {{ x }}", f":8  name: a key must be a word; {QUOTE_IT}"),
        ("description: !env X", f":8  description: YAML tags are not used here; {QUOTE_IT}"),
        ("version: 2", ":8  version: '2' is not 1"),
        ("name: 7", ":8  name: '7' is not text; put it in quotes: '7'"),
        ("name: Orders", ":8  name: 'Orders' is not a name in lower-case letters, digits and _"),
        ("description:", ":8  description is empty; fill it in, or leave the key out"),
        (
            "description: null",
            ":8  description: 'null' means 'nothing' in YAML; put it in quotes if it is text",
        ),
        (
            "status: activ",
            ":8  status: 'activ' is not one of draft, active, paused; did you mean 'active'?",
        ),
        ("owners: team:a", ":8  owners: 'team:a' is not a list; write it like ['team:a']"),
        ("owners: [joe]", ":8  owners: 'joe' is neither an e-mail address nor 'team:name'"),
        (
            "owners: [joe@example.organisation]",  # Dagster knows top-level domains up to 7 letters
            ":8  owners: 'joe@example.organisation' is neither an e-mail address nor 'team:name'",
        ),
        (
            "tags: {a b: c}",
            ":8  tags.a b: this is not a valid tag name: use letters, digits and _ . - (63 at most), "
            "optionally after one prefix and /; the prefix must not be 'dagster'",
        ),
        (
            "tags:\n  ok: 1\n  team: a/b",
            ":10  tags.team: 'a/b' is not letters, digits and _ . - only, 63 at most",
        ),
        ("tags: {a: [b]}", ":8  tags.a: what is here is not text"),
        ("schema: {mode: strict}", ":8  schema.mode: strict is not supported yet"),
        (
            "schema:\n  hints:\n    fips: strng",
            ":10  schema.hints.fips: 'strng' is not a Spark SQL type; did you mean 'string'?",
        ),
        (
            "schema:\n  optional_hints:\n    price: decimal(50,2)",
            ":10  schema.optional_hints.price: 'decimal(50,2)' is not a Spark SQL type: the precision 50 is not from 1 to 38",
        ),
        (
            "schema:\n  hints:\n    price: decimal(5,9)",
            ":10  schema.hints.price: 'decimal(5,9)' is not a Spark SQL type: the scale 9 is larger than the precision 5",
        ),
        (
            "schema:\n  hints:\n    price: string) , evil (x int",
            ":10  schema.hints.price: 'string) , evil (x int' is not a Spark SQL type; write it like decimal(18,2), array<int> or struct<a: int, b: string>",
        ),
        (
            "schema:\n  hints:\n    price: array<strng>",
            ":10  schema.hints.price: 'array<strng>' is not a Spark SQL type: 'strng' is not known; did you mean 'string'?",
        ),
        (
            "schema:\n  hints:\n    fips: string\n    FIPS: int",
            ":11  schema.hints.FIPS: repeats the hint 'fips'; keep one of them",
        ),
        (
            "schema:\n  hints: {a: int}\n  optional_hints: {a: int}",
            ":10  schema.optional_hints.a: repeats the hint 'a'; keep one of them",
        ),
        (
            "partition: daily",
            ":8  partition: 'daily' is not a section; keys go below it: by, pattern, every, start, "
            "timezone",
        ),
        (
            "partition:\n  every: dayly",
            ":9  partition.every: 'dayly' is not one of hour, day, week, month; did you mean 'day'?",
        ),
        ("partition: {by: path}", ":8  partition.pattern is missing; partition.by: path needs it"),
        (
            "partition:\n  by: modified_time\n  pattern: '{yyyy}'",
            ":10  partition.pattern belongs to partition.by: path, and this is by: modified_time",
        ),
        (
            "partition:\n  by: path\n  pattern: '*.csv'",
            ":10  partition.pattern: '*.csv' has no field; it needs {yyyy}-like fields or one {name}",
        ),
        (
            "partition:\n  by: path\n  pattern: '{yyyy}/{MM}.csv'",
            ":10  partition.pattern: partition.every: day needs {dd} too",
        ),
        (
            "partition:\n  by: path\n  pattern: '{a,b}/x'",
            ":10  partition.pattern: {a,b} is neither one of {yyyy} {MM} {dd} {HH} nor a name",
        ),
        (
            "partition:\n  by: path\n  pattern: '{r}/{yyyy}{MM}{dd}'",
            ":10  partition.pattern: times and a named key together are not supported yet",
        ),
        (
            "partition:\n  by: path\n  pattern: '{a}/{b}'",
            ":10  partition.pattern: more than one named key is not supported yet",
        ),
        (
            "partition:\n  by: path\n  pattern: '{a}/[z-a]'",
            ":10  partition.pattern: '{a}/[z-a]' has a [ ] that is no set of characters",
        ),
        (
            "partition: {every: hour, timezone: Europe/Berlin}",
            ":8  partition.timezone: hourly partitions are in UTC only, because local time has one "
            "hour twice a year",
        ),
        (
            "partition: {timezone: Europe/Berln}",
            ":8  partition.timezone: 'Europe/Berln' is not a timezone; did you mean 'Europe/Berlin'?",
        ),
        (
            "partition: {timezone: Europe}",  # a folder of the time zone database
            ":8  partition.timezone: 'Europe' is not a timezone; write it like 'Europe/Berlin'",
        ),
        (
            "partition: {start: 2020-02-30}",
            ":8  partition.start: '2020-02-30' is not a day; write it like 2020-01-22",
        ),
        (
            "partition: {start: 20200122}",
            ":8  partition.start: '20200122' is not a day; write it like 2020-01-22",
        ),
        (
            "trigger: {schedule: '61 * * * *'}",
            ":8  trigger.schedule: '61 * * * *' is not a cron string: '61' is no minute from 0 to 59",
        ),
        (
            "trigger: {on_arrival: }",
            ":8  trigger.on_arrival is empty; write {every: 60s}, or leave the key out",
        ),
        ("trigger: {on_arrival: {every: 1s}}", ":8  trigger.on_arrival.every: must be at least 5s"),
        (
            "trigger: {on_arrival: {every: 1w}}",
            ":8  trigger.on_arrival.every: '1w' is not a duration; write it like '30s', '5m', '1h' or '1d'",
        ),
        ("batch: {max_files: 0}", ":8  batch.max_files: '0' is not greater than 0"),
        ("batch: {max_files: 50001}", ":8  batch.max_files: '50001' is not at most 50000"),
        ("batch: {max_files: true}", ":8  batch.max_files: 'true' is not a whole number"),
        ("batch: {max_files: 1.5}", ":8  batch.max_files: '1.5' is not a whole number"),
        (
            "batch: {max_bytes: 10 GiBs}",
            ":8  batch.max_bytes: '10 GiBs' is not a size; write it like '500 MB' or '10 GiB'",
        ),
        ("batch: {max_bytes: 0}", ":8  batch.max_bytes: '0' is not greater than 0"),
        ("errors: {retries: -1}", ":8  errors.retries: '-1' is not at least 0"),
        ("errors: {max_bad_rows: many}", ":8  errors.max_bad_rows: 'many' is not a whole number"),
        ("checks: [{sql: x}]", ":8  checks is not supported yet"),
    ],
)
def test_a_fault_in_a_key(tmp_path: Path, more: str, fault: str) -> None:
    assert faults_of(tmp_path, f"{GOOD}{more}\n")[0] == fault


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("  url: data\n", "", ":1  source.url is missing"),
        ("  type: local\n", "", ":1  source.type is missing; it is one of local, s3"),
        ("type: local", "type: sftp", ":2  source.type: sftp is not supported yet"),
        (
            "type: local",
            "type: s33",
            ":2  source.type: 's33' is not one of local, s3; did you mean 's3'?",
        ),
        ("type: csv", "type: avro", ":5  format.type: avro is not supported yet"),
        (
            "type: csv",
            "type: jsonl",
            ":5  format.type: 'jsonl' is not one of csv, json, parquet, text; did you mean 'json'?",
        ),
        (
            "type: csv",
            "type: [csv]",
            ":5  format.type: what is here is not one of csv, json, parquet, text",
        ),
        (
            "  type: csv",
            "  - csv",
            ":4  format: what is here is not a section; keys go below it",
        ),
        ("  name: lake.shop.orders\n", "", ":6  table is empty; it needs name"),
        (
            "lake.shop.orders",
            "orders",
            ":7  table.name: 'orders' is not catalog.namespace.table in lower-case letters, digits and _",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  mode: merge",
            ":8  table.mode: merge is not supported yet",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  sort_by: [a]",
            ":8  table.sort_by is not supported yet",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  partition_by: ['x); drop table y']",
            ":8  table.partition_by: 'x); drop table y' is neither a column nor a transform of one such as "
            "days(event_time), bucket(16, id) or truncate(4, name)",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  partition_by: [a, a]",
            ":8  table.partition_by: 'a' is there twice; keep one of them",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  partition_by: [days(t), 'bucket(2, t)', hours(T)]",
            ":8  table.partition_by: 'hours(T)' repeats 'days(t)'; keep one of them",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  properties:\n    a: b\n    location: s3://in/x",
            ":10  table.properties.location: this cannot be set as a property: the catalog chooses the folder by table.name; remove it",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  properties: {format-version: 99}",
            ":8  table.properties.format-version: '99' is not a version of Iceberg's format; write 1, 2 or 3",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  properties: {write.format.default: csv}",
            ":8  table.properties.write.format.default: 'csv' is not one of parquet, orc, avro",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  properties: {write.distribution-mode: hashed}",
            ":8  table.properties.write.distribution-mode: 'hashed' is not one of none, hash, range; did you mean 'hash'?",
        ),
        (
            "type: csv",
            "type: csv\n  options:\n    timestamp_formats: ['nonsense!!']",
            ":7  format.options.timestamp_formats: 'nonsense!!' has the letter 'n', which is not one of y M L d H h m s S a X x Z z V; did you mean SSS?",
        ),
        (
            "type: csv",
            "type: json\n  options:\n    timestamp_formats: ['M/d/yyyy', YYYY-MM-dd]",
            ":7  format.options.timestamp_formats: 'YYYY-MM-dd' has the letter 'Y', which is not one of y M L d H h m s S a X x Z z V; did you mean yyyy?",
        ),
        (
            "lake.shop.orders",
            "lake.shop.orders\n  partition_by: [_partition_key]\npartition: {by: none}",
            ":8  table.partition_by: _partition_key is empty with partition.by: none; take it out",
        ),
        (
            "url: data",
            "url: s3://in/x",
            ":3  source.url: 's3://in/x' is an address of another kind; use source.type: s3",
        ),
        (
            "url: data",
            "url: ftp://in/x",
            ":3  source.url: 'ftp://in/x' is an address, and type: local reads a folder such as /data/in or ../data",
        ),
        (
            "url: data",
            "url: data\n  secret_access_key: geheim",
            ":4  source: 'secret_access_key' is not a key here; credentials go into _connections.yaml, and source.connection names them there",
        ),
        (
            "url: data",
            "url: data\n  Password: geheim",
            ":4  source: 'Password' is not a key here; credentials go into _connections.yaml, and source.connection names them there",
        ),
        ("url: data", "url: ''", ":3  source.url is empty"),
        (
            "url: data",
            "url: data\n  ready: {stable_for: 60s}",
            ":4  source.ready is not supported yet",
        ),
        (
            "url: data",
            "url: data\n  after_load: delete",
            ":4  source.after_load: delete is not supported yet",
        ),
        (
            "url: data",
            "url: data\n  connection: x",
            ":4  source: 'connection' is not a key here; it belongs in source with type: s3",
        ),
        (
            "url: data",
            "url: data\n  include: '*.csv'",
            ":4  source.include: '*.csv' is not a list; write it like ['*.csv']",
        ),
        (
            "url: data",
            "url: data\n  include: []",
            ":4  source.include is empty; fill it in, or leave the key out",
        ),
        (
            "url: data",
            "url: data\n  include: ['']",
            ":4  source.include: an empty glob matches nothing; take it out",
        ),
        (
            "url: data",
            "url: data\n  exclude: [/tmp/**]",
            ":4  source.exclude: '/tmp/**' can match nothing, for globs are on the path below source.url",
        ),
        (
            "type: csv",
            "type: csv\n  delimiter: ;",
            ":6  format: 'delimiter' is not a key here; it belongs in format.options",
        ),
        (
            "type: csv",
            "type: csv\n  options: {delimiter: '||'}",
            ":6  format.options.delimiter: '||' is not one character",
        ),
        (
            "type: csv",
            "type: csv\n  options: {delimiter: ''}",
            ":6  format.options.delimiter is empty; fill it in, or leave the key out",
        ),
        (
            "type: csv",
            'type: csv\n  options: {comment: "\\n"}',
            ":6  format.options.comment: a line break or NUL cannot be used here",
        ),
        (
            "type: csv",
            "type: csv\n  options: {quote: ','}",
            ":6  format.options.quote is the delimiter too (','); they must differ",
        ),
        (
            "type: csv",
            "type: csv\n  options: {escape: ','}",
            ":6  format.options.escape is the delimiter too (','); they must differ",
        ),
        (
            "type: csv",
            "type: csv\n  options: {comment: '!', escape: '!'}",
            ":6  format.options.comment is the escape too ('!'); they must differ",
        ),
        (
            "type: csv",
            "type: csv\n  options: {comment: '\"'}",
            ":6  format.options.comment is the quote too ('\"'); they must differ",
        ),
        (
            "type: csv",
            "type: csv\n  options: {header: maybe}",
            ":6  format.options.header: 'maybe' is not true or false",
        ),
        (
            "type: csv",
            "type: csv\n  options: {multiline: on}",
            ":6  format.options.multiline: 'on' is not one of auto, true, false",
        ),
        (
            "type: csv",
            "type: csv\n  options:\n    null_values: ['', null]",
            ":7  format.options.null_values.1: 'null' means 'nothing' in YAML; put it in quotes if it is text",
        ),
        (
            "type: csv",
            "type: json\n  options: {record_path: a..b}",
            ":6  format.options.record_path: 'a..b' is not a path; write keys with dots between, as 'data.items'",
        ),
    ],
)
def test_a_fault_in_a_section(tmp_path: Path, old: str, new: str, fault: str) -> None:
    assert faults_of(tmp_path, GOOD.replace(old, new)) == [fault]


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("/data/in", "'/data/in' is not an S3 address; write it like 's3://bucket/prefix/'"),
        ("s3:///x", "'s3:///x' is not an S3 address; write it like 's3://bucket/prefix/'"),
        (
            "https://in.s3.amazonaws.com/x?X-Amz-Signature=CANARY",
            "'https://in.s3.amazonaws.com/x' is not an S3 address; write it like "
            "'s3://bucket/prefix/'",
        ),
        (
            "s3://KEY:CAN/ARY@in/x",
            "it contains a user name or password; take it out and name a connection",
        ),
        (
            "https://KEY:CAN/ARY@host/x",
            "it contains a user name or password; take it out and name a connection",
        ),
        (
            r'"https://KEY:CAN\nARY@host/x"',
            "it contains a user name or password; take it out and name a connection",
        ),
    ],
)
def test_an_address_that_is_wrong_is_never_repeated_with_its_secrets(
    tmp_path: Path, url: str, fault: str
) -> None:
    assert faults_of(tmp_path, S3.replace("s3://in/x", url)) == [f":3  source.url: {fault}"]


def test_all_faults_of_a_file_come_at_once_in_its_order(tmp_path: Path) -> None:
    text = "version: 2\nsource: {type: ftp}\nformat: {type: csv}\ntable: {name: x}\ntriger: {}\n"
    assert faults_of(tmp_path, text) == [
        ":1  version: '2' is not 1",
        ":2  source.type: ftp is not supported yet",
        ":4  table.name: 'x' is not catalog.namespace.table in lower-case letters, digits and _",
        ":5  'triger' is not a key here; did you mean 'trigger'?",
    ]


def test_a_long_value_is_cut_in_the_message(tmp_path: Path) -> None:
    (fault,) = faults_of(tmp_path, f"{GOOD}status: {'x' * 1000}\n")
    assert fault == f":8  status: '{'x' * 60}…' is not one of draft, active, paused"


def test_no_text_makes_the_loader_raise(tmp_path: Path) -> None:
    """Broken on purpose, at random: each is loaded or has faults with plain words."""
    signs = random.Random(20)
    text = f"{S3}partition: {{by: path, pattern: '{{yyyy}}{{MM}}{{dd}}'}}\ntags: {{a: b}}\n"
    odd = [
        "~",
        "-1",
        "1e999",
        ".inf",
        ".nan",
        "[]",
        "{}",
        "[[a]]",
        "{a: {b: c}}",
        "''",
        "\\",
        "\ud7ff",
        "0x1",
        "9" * 40,
        "true",
        "2020-01-01",
        "!!int 3",
        "&a",
        "*a",
        "|",
        ">",
        "\t",
        ": ",
        "- ",
    ]
    for _ in range(400):
        lines = [str(line) for line in text.splitlines()]
        at = signs.randrange(len(lines))
        key, _, _ = lines[at].partition(":")
        lines[at] = signs.choice([f"{key}: {signs.choice(odd)}", signs.choice(odd), lines[at][1:]])
        for fault in faults_of(tmp_path, "\n".join(lines)):
            assert "Input should" not in fault
            assert "Value error" not in fault
