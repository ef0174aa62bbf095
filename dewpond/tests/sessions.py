"""Reads the Delta table `sessions` with three other engines: python sessions.py TABLE_DIR.

Prints a line of JSON for each engine: the engine, and of each day the sessions, their events and page views.
"""

import json
import pathlib
import sys

import duckdb
import duckdb_extension_delta
import polars
from deltalake import DeltaTable

table = sys.argv[1]
SQL = "SELECT CAST(date AS VARCHAR), count(*), CAST(sum(events) AS BIGINT), CAST(sum(page_views) AS BIGINT) FROM {} GROUP BY 1"

extension = next(pathlib.Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension"))
connection = duckdb.connect()
connection.execute(f"LOAD '{extension}'")
by_deltalake = DeltaTable(table).to_pyarrow_table()
by_polars = polars.scan_delta(table).collect().to_arrow()

for engine, source in (("deltalake", "by_deltalake"), ("polars", "by_polars"), ("duckdb", f"delta_scan('{table}')")):
    rows = connection.execute(SQL.format(source)).fetchall()
    print(json.dumps({"engine": engine, "days": sorted(map(list, rows))}))
