"""Answers a query over events in NDJSON with DuckDB: python shop.py EVENTS.ndjson SQL. Prints the rows, a line of JSON."""

import json
import sys

import duckdb

file, sql = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute(
    """CREATE TABLE events AS
    SELECT name, anonymous_id AS visitor_id, session_id, "timestamp"::timestamptz AS occurred_at
    FROM read_json(?, format = 'newline_delimited', columns = {
        name: 'VARCHAR', anonymous_id: 'VARCHAR', session_id: 'VARCHAR', "timestamp": 'VARCHAR'})""",
    [file],
)
print(json.dumps(connection.execute(sql).fetchall()))
