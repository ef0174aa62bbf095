#!/usr/bin/env bash
# DataFusion takes a column for constant that an outer join has filled with nulls, and does not sort by it.
#
# What surprised: a column with one value (`'x' AS k`, or `WHERE k = 'x'`) has two behind a LEFT JOIN:
# 'x', and null in rows without a partner. DataFusion keeps what it knew of the column before the join,
# leaves the column out of ORDER BY and of the order of a window, and so answers other rows behind a
# LIMIT and other ranks, without an error.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 sorts by the column.
# What it means: sort by a column of that side that has many values, such as `s.day IS NOT NULL`;
# coalesce(k, '') is taken for constant, too.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow as pa

tables = {
    "days": pa.table({"day": [1, 2, 3, 4]}),
    "events": pa.table({"day": [1, 2, 3], "name": ["signup", "visit", "signup"]}),
}
context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(1))
duck = duckdb.connect()
for name, table in tables.items():
    context.register_record_batches(name, [table.to_batches()])
    duck.register(name, table)

JOIN = "FROM days d LEFT JOIN (SELECT day, name FROM events WHERE name = 'signup') s ON s.day = d.day"
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
for sql in (
    f"SELECT d.day, s.name {JOIN} ORDER BY s.name NULLS FIRST, d.day LIMIT 2",
    f"SELECT d.day, rank() OVER (ORDER BY s.name NULLS FIRST) AS r {JOIN} ORDER BY d.day",
    f"SELECT d.day, s.name {JOIN} ORDER BY s.day IS NOT NULL, d.day LIMIT 2",
):
    print(sql.replace(JOIN, "..."))
    print("  DataFusion", [tuple(row.values()) for row in context.sql(sql).to_pylist()])
    print("  DuckDB    ", duck.execute(sql).fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT d.day, s.name ... ORDER BY s.name NULLS FIRST, d.day LIMIT 2
  DataFusion [(1, '\''signup'\''), (2, None)]
  DuckDB     [(2, None), (4, None)]
SELECT d.day, rank() OVER (ORDER BY s.name NULLS FIRST) AS r ... ORDER BY d.day
  DataFusion [(1, 1), (2, 3), (3, 1), (4, 3)]
  DuckDB     [(1, 3), (2, 1), (3, 3), (4, 1)]
SELECT d.day, s.name ... ORDER BY s.day IS NOT NULL, d.day LIMIT 2
  DataFusion [(2, None), (4, None)]
  DuckDB     [(2, None), (4, None)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
