#!/usr/bin/env bash
# DataFusion leaves values out of SELECT DISTINCT … ORDER BY … LIMIT if an alias repeats a name below it.
#
# What surprised: SELECT DISTINCT k % 3 AS k over the distinct values of k gives 1 and 2 for the first
# two, though 0 is there. The limit is moved down to the aggregate of the inner query, whose key has the
# name that ORDER BY asks for: only the two least k are left, and their remainders are 1 and 2.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 gives 0 and 1.
# What it means: give what is computed a name that no query below it has, or set
# datafusion.optimizer.enable_topk_aggregation to false.
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
    f"SELECT DISTINCT k % 3 AS k FROM (SELECT DISTINCT x AS k FROM {ROWS}) ORDER BY 1 LIMIT 2",
    f"SELECT DISTINCT k % 3 AS r FROM (SELECT DISTINCT x AS k FROM {ROWS}) ORDER BY 1 LIMIT 2",
):
    print(sql.replace(ROWS, "..."))
    print("  DataFusion", [tuple(row.values()) for row in context.sql(sql).to_pylist()])
    print("  DuckDB    ", duck.execute(sql).fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT DISTINCT k % 3 AS k FROM (SELECT DISTINCT x AS k FROM ...) ORDER BY 1 LIMIT 2
  DataFusion [(1,), (2,)]
  DuckDB     [(0,), (1,)]
SELECT DISTINCT k % 3 AS r FROM (SELECT DISTINCT x AS k FROM ...) ORDER BY 1 LIMIT 2
  DataFusion [(0,), (1,)]
  DuckDB     [(0,), (1,)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
