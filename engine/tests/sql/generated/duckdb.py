"""Answers queries with DuckDB: python duckdb.py EVENTS.parquet [plain] < QUERIES.

With "plain", queries are run as they read, without DuckDB's optimizer.

A query is a line of JSON, and so is its answer: the rows, or the error as a string.
"""

import datetime
import decimal
import json
import sys

# The script has the name of the module.
sys.path = sys.path[1:]
import duckdb

# More rows than this nobody compares.
ROWS_MAX = 1_000_000

connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
connection.execute("SET threads = 1")
# A join of joins may have more rows than anybody wants. By default it takes four fifths of the machine's memory first.
connection.execute("SET memory_limit = '2GB'")
connection.execute("SET max_temp_directory_size = '0B'")
connection.execute("CREATE TABLE events AS SELECT * FROM read_parquet(?)", [sys.argv[1]])
if sys.argv[2:] == ["plain"]:
    connection.execute("PRAGMA disable_optimizer")


def plain(value):
    if isinstance(value, (decimal.Decimal, datetime.date)):
        return str(value)
    return value


for line in sys.stdin:
    try:
        rows = connection.execute(json.loads(line)).fetchmany(ROWS_MAX + 1)
        if len(rows) > ROWS_MAX:
            raise duckdb.Error(f"more than {ROWS_MAX} rows")
        print(json.dumps([[plain(value) for value in row] for row in rows]))
    except duckdb.Error as error:
        print(json.dumps(str(error)))
