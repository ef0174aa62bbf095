#!/usr/bin/env bash
# DataFusion answers null for the key of RIGHT JOIN … USING where only the right side has a row.
#
# What surprised: SQL merges the columns of USING, so the key is never null in an outer join of
# rows that all have one. DataFusion takes the left side's column: `person` is null for everyone
# who is only on the right, and COUNT(DISTINCT person) is too small. FULL JOIN does the same.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 merges the columns.
# What it means: write `ON a.person = b.person` and `coalesce(a.person, b.person)`.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow as pa

tables = {
    "signups": pa.table({"person": [1, 2, 3], "plan": ["free", "pro", "pro"]}),
    "payments": pa.table({"person": [2, 3, 4], "paid": [20, 30, 40]}),
}
context, duck = datafusion.SessionContext(), duckdb.connect()
for name, table in tables.items():
    context.register_record_batches(name, [table.to_batches()])
    duck.register(name, table)

print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
for sql in (
    "SELECT person, paid FROM signups RIGHT JOIN payments USING (person) ORDER BY paid",
    "SELECT count(DISTINCT person) FROM signups FULL JOIN payments USING (person)",
    "SELECT count(DISTINCT coalesce(s.person, p.person)) FROM signups s FULL JOIN payments p ON s.person = p.person",
):
    print(sql)
    print("  DataFusion", [tuple(row.values()) for row in context.sql(sql).to_pylist()])
    print("  DuckDB    ", duck.execute(sql).fetchall())
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
SELECT person, paid FROM signups RIGHT JOIN payments USING (person) ORDER BY paid
  DataFusion [(2, 20), (3, 30), (None, 40)]
  DuckDB     [(2, 20), (3, 30), (4, 40)]
SELECT count(DISTINCT person) FROM signups FULL JOIN payments USING (person)
  DataFusion [(3,)]
  DuckDB     [(4,)]
SELECT count(DISTINCT coalesce(s.person, p.person)) FROM signups s FULL JOIN payments p ON s.person = p.person
  DataFusion [(4,)]
  DuckDB     [(4,)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
