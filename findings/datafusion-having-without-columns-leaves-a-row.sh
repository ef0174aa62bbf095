#!/usr/bin/env bash
# DataFusion answers a total that its HAVING leaves out.
#
# What surprised: a condition without columns over an aggregate without keys is moved below the aggregate,
# which has a row even of no rows. So count(*) is 0 where there should be no row, and with keys it chooses
# rows instead of groups: groups that stay have smaller counts. Nobody has to write such a condition: a
# column that turns out to be constant leaves one.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 has no row, and whole groups.
# What it means: test what a total must fulfil after it has been read, or with CASE in the select list.
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
    f"SELECT count(*) FROM {ROWS} HAVING random() < -1",
    f"SELECT max(x) FROM {ROWS} HAVING random() < -1",
    "SELECT count(*) FILTER (WHERE n <> 100) > 0 AS torn FROM (SELECT g % 40 AS k, count(*) AS n FROM generate_series(1, 4000) s(g) GROUP BY 1 HAVING random() < 0.5)",
):
    print(sql.replace(ROWS, "..."))
    print("  DataFusion", [tuple(row.values()) for row in context.sql(sql).to_pylist()])
    print("  DuckDB    ", duck.execute(sql).fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT count(*) FROM ... HAVING random() < -1
  DataFusion [(0,)]
  DuckDB     []
SELECT max(x) FROM ... HAVING random() < -1
  DataFusion [(None,)]
  DuckDB     []
SELECT count(*) FILTER (WHERE n <> 100) > 0 AS torn FROM (SELECT g % 40 AS k, count(*) AS n FROM generate_series(1, 4000) s(g) GROUP BY 1 HAVING random() < 0.5)
  DataFusion [(True,)]
  DuckDB     [(False,)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
