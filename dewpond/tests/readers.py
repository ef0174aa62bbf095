"""Counts a published Delta table with three other engines: python readers.py TABLE_DIR.

Prints a line of JSON for each engine. Needs deltalake, polars, and duckdb with duckdb-extension-delta, see
requirements.txt beside this file.
"""

import json
import pathlib
import sys

import duckdb
import duckdb_extension_delta
import polars
import pyarrow.compute
from deltalake import DeltaTable

table = sys.argv[1]


def show(engine, rows, visitors, dates, revenue):
    print(json.dumps({"engine": engine, "rows": rows, "visitors": visitors, "dates": dates, "revenue": float(revenue)}))


arrow = DeltaTable(table).to_pyarrow_table()
distinct = lambda column: pyarrow.compute.count_distinct(arrow[column]).as_py()
show("deltalake", arrow.num_rows, distinct("visitor_id"), distinct("date"), pyarrow.compute.sum(arrow["revenue"]).as_py())

frame = polars.scan_delta(table).select(
    polars.len().alias("rows"),
    polars.col("visitor_id").n_unique().alias("visitors"),
    polars.col("date").n_unique().alias("dates"),
    polars.col("revenue").cast(polars.Float64).sum().alias("revenue"),
).collect()
show("polars", *frame.row(0))

# The wheel brings the extension as a file, so that nothing is downloaded.
extension = next(pathlib.Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension"))
connection = duckdb.connect()
connection.execute(f"LOAD '{extension}'")
row = connection.execute(
    "SELECT count(*), count(DISTINCT visitor_id), count(DISTINCT date), sum(revenue) FROM delta_scan(?)", [table]
).fetchone()
show("duckdb", *row)
