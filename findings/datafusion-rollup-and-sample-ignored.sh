#!/usr/bin/env bash
# DataFusion reads `GROUP BY … WITH ROLLUP` and `TABLESAMPLE`, and then does neither.
#
# What surprised: both clauses parse and plan, and the answer is that of the query without them:
# no totals and no sample. `GROUP BY ROLLUP (…)` is carried out.
# Versions: datafusion 55.0.0 (PyPI). duckdb 2.0.1 refuses WITH ROLLUP and carries out TABLESAMPLE.
# What it means: a query brought along from MySQL lacks its totals, and a sampled query reads and
# counts everything. Nothing says so.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow as pa

events = pa.table({"site": ["shop", "shop", "blog"], "views": [1, 2, 4]})
context, duck = datafusion.SessionContext(), duckdb.connect()
context.register_record_batches("events", [events.to_batches()])
duck.register("events", events)


def rows(run):
    try:
        return sorted(run(), key=str)
    except Exception as error:
        return type(error).__name__


print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
for sql in (
    "SELECT site, sum(views) FROM events GROUP BY site WITH ROLLUP",
    "SELECT site, sum(views) FROM events GROUP BY ROLLUP (site)",
    "SELECT count(*) FROM events TABLESAMPLE (0 ROWS)",
):
    print(sql)
    print("  DataFusion", rows(lambda: [tuple(row.values()) for row in context.sql(sql).to_pylist()]))
    print("  DuckDB    ", rows(lambda: duck.execute(sql).fetchall()))
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected="datafusion 55.0.0 duckdb 2.0.1
SELECT site, sum(views) FROM events GROUP BY site WITH ROLLUP
  DataFusion [('blog', 4), ('shop', 3)]
  DuckDB     ParserException
SELECT site, sum(views) FROM events GROUP BY ROLLUP (site)
  DataFusion [('blog', 4), ('shop', 3), (None, 7)]
  DuckDB     [('blog', 4), ('shop', 3), (None, 7)]
SELECT count(*) FROM events TABLESAMPLE (0 ROWS)
  DataFusion [(3,)]
  DuckDB     [(0,)]"
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
