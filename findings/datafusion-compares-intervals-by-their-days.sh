#!/usr/bin/env bash
# DataFusion compares a time between two instants with an interval by months first, then by days.
#
# What surprised: two days between two timestamps are not more than INTERVAL '1 day', and 90 days are
# less than INTERVAL '7 days'. A difference of timestamps is a duration in one number; compared with an
# interval it becomes one of no months, no days and many nanoseconds, and intervals are compared part by
# part. So WHERE last_seen - first_seen > INTERVAL '1 day' has no row, without a word, and 36 hours are
# less than a day.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 compares lengths, as PostgreSQL does.
# What it means: compare instants (last_seen > first_seen + INTERVAL '1 day'), or write the interval in
# hours.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb

context = datafusion.SessionContext()
duck = duckdb.connect()
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
for condition in (
    "TIMESTAMP '2026-03-03' - TIMESTAMP '2026-03-01' > INTERVAL '1 day'",
    "TIMESTAMP '2026-03-03' - TIMESTAMP '2026-03-01' > INTERVAL '24 hours'",
    "TIMESTAMP '2026-05-30' - TIMESTAMP '2026-03-01' < INTERVAL '7 days'",
    "INTERVAL '36 hours' > INTERVAL '1 day'",
    "INTERVAL '24 hours' = INTERVAL '1 day'",
):
    ours = context.sql(f"SELECT {condition} AS it").to_pylist()[0]["it"]
    print(f"{condition}: DataFusion {ours}, DuckDB {duck.execute('SELECT ' + condition).fetchone()[0]}")
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected="datafusion 55.0.0 duckdb 2.0.1
TIMESTAMP '2026-03-03' - TIMESTAMP '2026-03-01' > INTERVAL '1 day': DataFusion False, DuckDB True
TIMESTAMP '2026-03-03' - TIMESTAMP '2026-03-01' > INTERVAL '24 hours': DataFusion True, DuckDB True
TIMESTAMP '2026-05-30' - TIMESTAMP '2026-03-01' < INTERVAL '7 days': DataFusion True, DuckDB False
INTERVAL '36 hours' > INTERVAL '1 day': DataFusion False, DuckDB True
INTERVAL '24 hours' = INTERVAL '1 day': DataFusion False, DuckDB True"
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
