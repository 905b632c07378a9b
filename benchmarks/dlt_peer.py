"""The same CSV files by dlt into an Iceberg table; run by a Python that has dlt.

    python dlt_peer.py CSV_FOLDER WORK_FOLDER

Prints the seconds, the rows, and dlt's version, as JSON. The files are read by pyarrow in a
transformer, because dlt's own readers by pandas and DuckDB are slower.
"""

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    """Load once into a new table, and count its rows."""
    source, work = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    os.environ["DLT_DATA_DIR"] = str(work / "dlt")
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt
    from dlt.sources.filesystem import filesystem
    from pyarrow import csv

    @dlt.transformer(name="orders", table_format="iceberg", write_disposition="append")
    def read(items):
        for item in items:
            with item.open() as file:
                table = csv.read_csv(file)
            yield table.append_column("_source_file", [[item["file_url"]] * table.num_rows])

    def load(folder: Path, name: str) -> tuple[float, int]:
        pipeline = dlt.pipeline(
            name,
            pipelines_dir=str(work / "pipelines"),
            destination=dlt.destinations.filesystem(bucket_url=(work / name).as_uri()),
            dataset_name="bench",
        )
        files = filesystem(bucket_url=folder.as_uri(), file_glob="**/*.csv")
        files.apply_hints(incremental=dlt.sources.incremental("modification_date"))
        began = time.perf_counter()
        pipeline.run(files | read, loader_file_format="parquet")
        took = time.perf_counter() - began
        with pipeline.destination_client() as client:
            table = client.load_open_table("iceberg", "orders")
        return took, table.scan().count()

    warm = work / "warm"
    warm.mkdir(parents=True)
    first = next(source.rglob("*.csv"))
    (warm / first.name).write_bytes(first.read_bytes())
    load(warm, "warm_up")
    seconds, rows = load(source, "orders")
    print(json.dumps({"seconds": seconds, "rows": rows, "version": dlt.__version__}))


if __name__ == "__main__":
    main()
