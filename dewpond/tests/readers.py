"""Reads a published Delta table with three other engines: python readers.py TABLE_DIR [VERSION ...].

Prints a line of JSON for each engine at the newest version and at each that is given: the engine, the version if it
says one, and the rows, sorted. Needs deltalake, polars, and duckdb with duckdb-extension-delta, see requirements.txt
beside this file.
"""

import json
import pathlib
import sys

import duckdb
import duckdb_extension_delta
import polars
from deltalake import DeltaTable

table = sys.argv[1]
versions = [None] + [int(version) for version in sys.argv[2:]]

# The wheel brings the extension as a file, so that nothing is downloaded.
extension = next(pathlib.Path(duckdb_extension_delta.__file__).parent.rglob("delta.duckdb_extension"))
connection = duckdb.connect()
connection.execute(f"LOAD '{extension}'")
connection.execute("SET TimeZone = 'UTC'")


def show(engine, version, rows):
    cells = [[None if cell is None else cell if isinstance(cell, int) and abs(cell) <= 2**53 else str(cell) for cell in row] for row in rows]
    print(json.dumps({"engine": engine, "version": version, "rows": sorted(cells)}))


def with_deltalake(version):
    opened = DeltaTable(table, version=version)
    columns = opened.to_pyarrow_table()
    times = columns["occurred_at"].cast("int64").to_pylist()
    ids = [id.hex() for id in columns["event_id"].to_pylist()]
    others = [columns[name].to_pylist() for name in ("site_id", "name", "visitor_id", "revenue", "title", "date")]
    return opened.version(), zip(ids, times, *others)


def with_polars(version):
    frame = polars.scan_delta(table, version=version).select(
        polars.col("event_id").bin.encode("hex"),
        polars.col("occurred_at").dt.epoch("us"),
        *("site_id", "name", "visitor_id", "revenue", "title", "date"),
    )
    return version, frame.collect().rows()


def with_duckdb(version):
    at = "" if version is None else f", version => {version}"
    columns = "lower(hex(event_id)), epoch_us(occurred_at), site_id, name, visitor_id, revenue, title, date"
    return version, connection.execute(f"SELECT {columns} FROM delta_scan(?{at})", [table]).fetchall()


for version in versions:
    for read in (with_deltalake, with_polars, with_duckdb):
        show(read.__name__.removeprefix("with_"), *read(version))
