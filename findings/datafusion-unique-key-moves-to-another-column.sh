#!/usr/bin/env bash
# DataFusion does not sort by the last key of ORDER BY behind two windows over a GROUP BY.
#
# What surprised: the key of a GROUP BY is unique, which DataFusion notes by the place of its column. A
# projection that puts columns in another order leaves the place as it was, so that another column
# counts as unique, and rows sorted by that one count as sorted by all that follows in ORDER BY.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 sorts by all three keys.
# What it means: where the order of rows matters behind windows over groups, sort by an expression of
# the key, such as v + 0: a column alone is believed.
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
    f"SELECT n, v, count(*) OVER (PARTITION BY n) AS c FROM (SELECT v, count(*) OVER (PARTITION BY m) AS n FROM (SELECT x AS v, max(x % 2) AS m FROM {ROWS} GROUP BY x)) ORDER BY n, c, v DESC",
):
    print(sql.replace(ROWS, "..."))
    print("  DataFusion", [tuple(row.values()) for row in context.sql(sql).to_pylist()])
    print("  DuckDB    ", duck.execute(sql).fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT n, v, count(*) OVER (PARTITION BY n) AS c FROM (SELECT v, count(*) OVER (PARTITION BY m) AS n FROM (SELECT x AS v, max(x % 2) AS m FROM ... GROUP BY x)) ORDER BY n, c, v DESC
  DataFusion [(3, 2, 6), (3, 4, 6), (3, 6, 6), (3, 1, 6), (3, 3, 6), (3, 5, 6)]
  DuckDB     [(3, 6, 6), (3, 5, 6), (3, 4, 6), (3, 3, 6), (3, 2, 6), (3, 1, 6)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
