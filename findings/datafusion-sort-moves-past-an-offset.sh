#!/usr/bin/env bash
# DataFusion skips the rows of the wrong order where a query with an OFFSET is sorted once more outside.
#
# What surprised: the sort outside is moved below the OFFSET, because a limit keeps the order of its input.
# Then the first rows of the outer order are skipped, not those of the inner one. With a LIMIT beside the
# OFFSET, the sort inside takes the LIMIT alone for the number of rows it has to find, and the OFFSET skips
# them all. No error in either case.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 answers as SQL says.
# What it means: number the rows with row_number() and choose by the number.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow

numbers = pyarrow.table({"v": [1, 2, 3, 4, 5, 6]})
context = datafusion.SessionContext()
context.register_record_batches("t", [numbers.to_batches()])
duck = duckdb.connect()
duck.register("t", numbers)
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
OTHER_ROWS = "SELECT v FROM (SELECT v FROM t ORDER BY v DESC OFFSET 3) ORDER BY v"
RANKED = "SELECT v, rank() OVER (ORDER BY v % 2, v) AS r FROM t"
NO_ROWS = f"SELECT v FROM (SELECT v FROM ({RANKED}) ORDER BY v LIMIT 2 OFFSET 2) ORDER BY v"
RIGHT = "SELECT v FROM (SELECT v, row_number() OVER (ORDER BY v DESC) AS n FROM t) WHERE n > 3 ORDER BY v"
for sql in (OTHER_ROWS, NO_ROWS, RIGHT):
    print(sql)
    print("  DataFusion", [row["v"] for row in context.sql(sql).to_pylist()])
    print("  DuckDB    ", [v for (v,) in duck.execute(sql).fetchall()])
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT v FROM (SELECT v FROM t ORDER BY v DESC OFFSET 3) ORDER BY v
  DataFusion [4, 5, 6]
  DuckDB     [1, 2, 3]
SELECT v FROM (SELECT v FROM (SELECT v, rank() OVER (ORDER BY v % 2, v) AS r FROM t) ORDER BY v LIMIT 2 OFFSET 2) ORDER BY v
  DataFusion []
  DuckDB     [3, 4]
SELECT v FROM (SELECT v, row_number() OVER (ORDER BY v DESC) AS n FROM t) WHERE n > 3 ORDER BY v
  DataFusion [1, 2, 3]
  DuckDB     [1, 2, 3]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
