"""The oracle of each format."""

from tests.differential.csv_oracle import expect as expect_csv
from tests.differential.harness import Oracle
from tests.differential.json_oracle import expect as expect_json
from tests.differential.parquet_oracle import expect as expect_parquet

ORACLES: dict[str, Oracle] = {"csv": expect_csv, "json": expect_json, "parquet": expect_parquet}
