#!/usr/bin/env bash
# DataFusion leaves out an ORDER BY over a join of two numbered queries, and a LIMIT takes other rows.
#
# What surprised: a hash join keeps the left side in memory and reads the right one. Its rows are taken to come
# in the order of the right side, and among equal ones in that of the left. But the left rows begin anew with
# each right row. Where the right side is known to be sorted by less than tells its rows apart (a key under two
# names, sorted for a window), the sort that is asked for counts as done. No error.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 sorts.
# What it means: name the joined column itself in ORDER BY, not a copy of it; and compare with another engine.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow

rows = pyarrow.table({"x": [1, 2, 3, 4, 5, 6], "k": [1, 2, 1, 2, 1, 2]})
context = datafusion.SessionContext()
context.register_record_batches("t", [rows.to_batches()])
duck = duckdb.connect()
duck.register("t", rows)
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
NUMBERED = "WITH w AS (SELECT k AS c, k, row_number() OVER (PARTITION BY k ORDER BY x) AS n FROM t)"
for key in ("b.c", "b.k"):
    sql = f"SELECT {key}, a.n, b.n AS m FROM w a JOIN w b ON a.k = b.k ORDER BY {key}, a.n, b.n LIMIT 4"
    print(sql)
    print("  DataFusion", [tuple(row.values()) for row in context.sql(f"{NUMBERED} {sql}").to_pylist()])
    print("  DuckDB    ", duck.execute(f"{NUMBERED} {sql}").fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT b.c, a.n, b.n AS m FROM w a JOIN w b ON a.k = b.k ORDER BY b.c, a.n, b.n LIMIT 4
  DataFusion [(1, 1, 1), (1, 2, 1), (1, 3, 1), (1, 1, 2)]
  DuckDB     [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1)]
SELECT b.k, a.n, b.n AS m FROM w a JOIN w b ON a.k = b.k ORDER BY b.k, a.n, b.n LIMIT 4
  DataFusion [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1)]
  DuckDB     [(1, 1, 1), (1, 1, 2), (1, 1, 3), (1, 2, 1)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
