"""The Spark settings that reading, typing and writing depend on, the same in every session.

A server belongs to somebody else and may have any settings. Each session sets its own in one call,
reads all of them back in another, and is refused if the server did not take one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from autoloader_dagster.errors import SparkSetupError
from autoloader_dagster.spark.conf_secrets import remember_secrets

if TYPE_CHECKING:
    from pyspark.sql.connect.session import SparkSession

SESSION_CONF: dict[str, str] = {
    # The text of SQL. File names, headers and keys are part of it: with substitution on, a header
    # '${env:NAME}' is replaced by a variable of the server, its token for example.
    "spark.sql.variable.substitute": "false",
    "spark.sql.ansi.enabled": "true",
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.ansi.enforceReservedKeywords": "false",
    "spark.sql.caseSensitive": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.parser.quotedRegexColumnNames": "false",
    "spark.sql.operatorPipeSyntaxEnabled": "true",
    # Times and numbers.
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.timestampType": "TIMESTAMP_LTZ",
    "spark.sql.legacy.timeParserPolicy": "CORRECTED",
    "spark.sql.decimalOperations.allowPrecisionLoss": "true",
    "spark.sql.storeAssignmentPolicy": "ANSI",
    # Strings and nested values.
    "spark.sql.charAsVarchar": "false",
    "spark.sql.preserveCharVarcharTypeInfo": "false",
    "spark.sql.readSideCharPadding": "true",
    "spark.sql.function.concatBinaryAsString": "false",
    "spark.sql.function.eltOutputAsString": "false",
    "spark.sql.mapKeyDedupPolicy": "EXCEPTION",
    "spark.sql.jsonGenerator.ignoreNullFields": "true",
    "spark.sql.jsonGenerator.writeNullIfWithDefaultValue": "true",
    "spark.sql.variant.allowDuplicateKeys": "false",
    "spark.sql.variant.allowReadingShredded": "true",
    # Files. A file that is broken or gone is an error, and no row is dropped without a word.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.files.ignoreInvalidPartitionPaths": "false",
    "spark.sql.sources.useV1SourceList": "avro,csv,json,kafka,orc,parquet,text",
    "spark.sql.sources.partitionColumnTypeInference.enabled": "true",
    "spark.sql.csv.parser.columnPruning.enabled": "true",
    "spark.sql.csv.filterPushdown.enabled": "true",
    "spark.sql.json.filterPushdown.enabled": "true",
    "spark.sql.json.enablePartialResults": "true",
    # With it Spark reads the file once more, and perhaps in part, for each nested value of a text.
    "spark.sql.json.enableExactStringParsing": "false",
    "spark.sql.json.useUnsafeRow": "false",
    "spark.sql.optimizer.enableCsvExpressionOptimization": "true",
    "spark.sql.optimizer.enableJsonExpressionOptimization": "true",
    "spark.sql.parquet.binaryAsString": "false",
    "spark.sql.parquet.int96AsTimestamp": "true",
    "spark.sql.parquet.int96TimestampConversion": "false",
    "spark.sql.parquet.inferTimestampNTZ.enabled": "true",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInRead": "CORRECTED",
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.outputTimestampType": "INT96",
    "spark.sql.parquet.writeLegacyFormat": "false",
    "spark.sql.parquet.mergeSchema": "false",
    "spark.sql.parquet.respectSummaryFiles": "false",
    "spark.sql.parquet.fieldId.read.enabled": "false",
    "spark.sql.parquet.aggregatePushdown": "false",
    "spark.sql.parquet.recordLevelFilter.enabled": "false",
    "spark.sql.parquet.ignoreVariantAnnotation": "false",
    # Spark knows no nanoseconds; with this it reads such a column as a number, else it fails.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    # Speed: Java never compiles a method of more bytes than this. A table of many columns becomes
    # such a method, unless Spark is told to cut it into smaller ones.
    "spark.sql.codegen.hugeMethodLimit": "8000",
    # What Spark infers from a projection of thousands of columns takes minutes, and helps no join
    # of a load.
    "spark.sql.constraintPropagation.enabled": "false",
    # What a Python worker gets at once: ten thousand lines may be of a megabyte each.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(4 << 20),
    "spark.sql.execution.arrow.maxRecordsPerBatch": "10000",
    # Answers to this client.
    "spark.sql.execution.arrow.useLargeVarTypes": "false",
}

# Whatever a server sets here goes back to Spark's own default: old ways of reading, and where and
# as what Iceberg writes. A branch of spark.wap.branch would take the place of the one we name.
_RESET_PREFIXES = (
    "spark.sql.legacy.",
    "spark.sql.iceberg.snapshot-property.",
    "spark.wap.",
)
_RESET = (
    "spark.sql.iceberg.check-nullability",
    "spark.sql.iceberg.check-ordering",
    "spark.sql.iceberg.merge-schema",
)
# A server's own, which no session can change; it bears on none of the above.
_STATIC = ("spark.sql.legacy.sessionInitWithConfigDefaults",)


def settle(session: "SparkSession", server: str, conf: Mapping[str, str] = SESSION_CONF) -> None:
    """Set the session's settings and check that they hold; two calls, a third if others are reset.

    The secrets among the server's own settings are struck out of all texts from then on.

    Args:
        session: A new session.
        server: How to call the server in a message.
        conf: The settings.

    Raises:
        SparkSetupError: The server does not take a setting.
    """
    from pyspark.sql.connect.proto import ConfigRequest, KeyValue

    def ask(**operation: object) -> dict[str, str | None]:
        return dict(session.client.config(ConfigRequest.Operation(**operation)).pairs)  # pyright: ignore[reportArgumentType]

    wanted = [KeyValue(key=key, value=value) for key, value in conf.items()]
    ask(set=ConfigRequest.Set(pairs=wanted, silent=True))
    found = ask(get_all=ConfigRequest.GetAll(prefix="spark."))
    found = {f"spark.{key.removeprefix('spark.')}": value for key, value in found.items()}
    # What a server's own rules for secrets do not hide, such as user:password@ in an address.
    remember_secrets(found)
    others = [key for key in found if _is_reset(key)]
    if others:
        ask(unset=ConfigRequest.Unset(keys=others))
    wrong = [
        f"{key}={found.get(key)} instead of {value}"
        for key, value in conf.items()
        if found.get(key) != value
    ]
    if wrong:
        raise SparkSetupError(
            f"{server} does not take settings that loading depends on: {', '.join(wrong)}",
            "Nothing was read or written. Use a server of Spark 4.1 that lets a session set them.",
        )


def _is_reset(key: str) -> bool:
    if key in SESSION_CONF or key in _STATIC:
        return False
    return key.startswith(_RESET_PREFIXES) or key in _RESET
