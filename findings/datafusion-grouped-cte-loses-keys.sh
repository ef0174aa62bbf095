#!/usr/bin/env bash
# A join with a grouped CTE makes DataFusion drop GROUP BY and ORDER BY keys, without an error.
#
# What surprised: a CTE grouped by visitor has one row per visitor. A join repeats those rows, but
# DataFusion still believes that the visitor alone determines a row. `GROUP BY visitor, path` over
# such a join groups by visitor only, and `ORDER BY day DESC, n DESC` sorts by day only.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 groups the same rows correctly.
# What it means: counts, averages and LIMITs over such a query are wrong. Naming the key of the
# other side of the join (`e.visitor` for `first.visitor`) gives the right groups.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow as pa

rows = [(visitor, path, day)
        for visitor in range(1, 5) for day in range(1, 4) for path in ("/", "/docs")]
events = pa.table({name: [row[i] for row in rows] for i, name in enumerate(("visitor", "path", "day"))})
context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(1))
context.register_record_batches("events", [events.to_batches()])
duck = duckdb.connect()
duck.register("events", events)

GROUPS = """
WITH first AS (SELECT visitor, min(day) AS day FROM events GROUP BY visitor),
views AS (
    SELECT {key}.visitor, e.path, e.day, count(*) AS n
    FROM first JOIN events e ON e.visitor = first.visitor GROUP BY 1, 2, 3
)
SELECT count(*) FROM (SELECT visitor, path, sum(n) FROM views GROUP BY visitor, path)"""
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
for key in ("first", "e"):
    sql = GROUPS.format(key=key)
    got = context.sql(sql).collect()[0].column(0)[0].as_py()
    print(f"groups by {key}.visitor and path: DataFusion {got}, DuckDB {duck.execute(sql).fetchall()[0][0]}")

ORDER = """
WITH days AS (SELECT DISTINCT day FROM events)
SELECT days.day, e.path, count(*) AS n
FROM days LEFT JOIN events e ON e.day = days.day GROUP BY 1, 2 ORDER BY day DESC, n DESC LIMIT 3"""
plan = str(context.sql(ORDER).execution_plan())
print("ORDER BY day DESC, n DESC becomes", next(line.split("expr=")[1] for line in plan.splitlines() if "SortExec" in line))
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
groups by first.visitor and path: DataFusion 4, DuckDB 8
groups by e.visitor and path: DataFusion 8, DuckDB 8
ORDER BY day DESC, n DESC becomes [day@0 DESC], preserve_partitioning=[false]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
