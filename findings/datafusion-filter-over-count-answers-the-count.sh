#!/usr/bin/env bash
# DataFusion answers an aggregate with FILTER over a count with the count, and drops columns.
#
# What surprised: max(n) and min(n) FILTER (…) over a subquery with count(*) have one column instead of
# two, or the number of rows where null is right. The rule that answers aggregates from statistics looks
# from the outer aggregate downwards for one it can answer, does not stop at the FILTER, and puts the
# inner one in the place of the outer one.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 has both columns.
# What it means: write CASE within the aggregate instead of FILTER, where the input is a count of all rows.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb

context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(1))
duck = duckdb.connect()
ROWS = "(VALUES (1), (2), (3), (4), (5), (6)) t(x)"
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
for sql in (
    f"SELECT max(n), min(n) FILTER (WHERE n = 4) FROM (SELECT count(*) AS n FROM {ROWS})",
    f"SELECT min(n) FILTER (WHERE n = 4) FROM (SELECT count(*) AS n FROM {ROWS})",
    f"SELECT max(n), min(CASE WHEN n = 4 THEN n END) FROM (SELECT count(*) AS n FROM {ROWS})",
):
    print(sql.replace(ROWS, "..."))
    print("  DataFusion", [tuple(row.values()) for row in context.sql(sql).to_pylist()])
    print("  DuckDB    ", duck.execute(sql).fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT max(n), min(n) FILTER (WHERE n = 4) FROM (SELECT count(*) AS n FROM ...)
  DataFusion [(6,)]
  DuckDB     [(6, None)]
SELECT min(n) FILTER (WHERE n = 4) FROM (SELECT count(*) AS n FROM ...)
  DataFusion [(6,)]
  DuckDB     [(None,)]
SELECT max(n), min(CASE WHEN n = 4 THEN n END) FROM (SELECT count(*) AS n FROM ...)
  DataFusion [(6, None)]
  DuckDB     [(6, None)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
