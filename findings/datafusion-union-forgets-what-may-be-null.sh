#!/usr/bin/env bash
# DataFusion refuses to group a UNION of two columns that are never null, as if it were a fault of its own.
#
# What surprised: coalesce(x, '-') is never null. The optimizer makes a CASE of it, and where x IS NOT
# NULL is asked for once more beside it, puts that condition into a column of its own; the CASE is then
# taken for nullable. Operators above are told, but a UNION keeps the columns that it was made with, and
# planning an aggregate over it ends with "Internal error".
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 answers.
# What it means: unite the columns as they are, and put coalesce around what was united.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow

names = pyarrow.table({"n": pyarrow.array(["a", "b", None])})
context = datafusion.SessionContext()
context.register_record_batches("t", [names.to_batches()])
duck = duckdb.connect()
duck.register("t", names)
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
REFUSED = "SELECT k, count(*) AS c FROM (SELECT coalesce(n, '-') AS k FROM t UNION ALL SELECT k FROM (SELECT coalesce(n, '-') AS k, count(*) FILTER (WHERE n IS NOT NULL) AS f FROM t GROUP BY 1)) GROUP BY k ORDER BY k"
ANSWERED = "SELECT coalesce(k, '-') AS k, count(*) AS c FROM (SELECT n AS k FROM t UNION ALL SELECT k FROM (SELECT n AS k, count(*) FILTER (WHERE n IS NOT NULL) AS f FROM t GROUP BY 1)) GROUP BY 1 ORDER BY k"
for sql in (REFUSED, ANSWERED):
    print(sql)
    try:
        print("  DataFusion", [tuple(row.values()) for row in context.sql(sql).to_pylist()])
    except Exception as error:
        print("  DataFusion", *[line.strip() for line in str(error).splitlines()[:2]])
    print("  DuckDB    ", duck.execute(sql).fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT k, count(*) AS c FROM (SELECT coalesce(n, '\''-'\'') AS k FROM t UNION ALL SELECT k FROM (SELECT coalesce(n, '\''-'\'') AS k, count(*) FILTER (WHERE n IS NOT NULL) AS f FROM t GROUP BY 1)) GROUP BY k ORDER BY k
  DataFusion DataFusion error: Internal error: Physical input schema should be the same as the one converted from logical input schema. Differences: - field nullability at index 0 [k]: (physical) true vs (logical) false.
  DuckDB     [('\''-'\'', 2), ('\''a'\'', 2), ('\''b'\'', 2)]
SELECT coalesce(k, '\''-'\'') AS k, count(*) AS c FROM (SELECT n AS k FROM t UNION ALL SELECT k FROM (SELECT n AS k, count(*) FILTER (WHERE n IS NOT NULL) AS f FROM t GROUP BY 1)) GROUP BY 1 ORDER BY k
  DataFusion [('\''-'\'', 2), ('\''a'\'', 2), ('\''b'\'', 2)]
  DuckDB     [('\''-'\'', 2), ('\''a'\'', 2), ('\''b'\'', 2)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
