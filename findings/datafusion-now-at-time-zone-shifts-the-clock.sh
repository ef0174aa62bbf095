#!/usr/bin/env bash
# In DataFusion, `now() AT TIME ZONE 'America/New_York'` is hours away from now.
#
# What surprised: without a session time zone, now() and TIMESTAMPTZ literals have no zone. AT TIME
# ZONE then takes the UTC wall clock for that of the zone: noon in UTC becomes noon in New York, a moment
# four or five hours later. With `execution.time_zone` set to UTC the same query is right.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 gives 08:00 in New York.
# What it means: "today" in a zone is the wrong day for hours every day. Set the session's time zone first.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb

NOON = "SELECT extract(hour FROM TIMESTAMPTZ '2026-07-01T12:00:00Z' AT TIME ZONE 'America/New_York')"
NOW = """SELECT (extract(epoch FROM (now() AT TIME ZONE 'Asia/Kolkata')) - extract(epoch FROM now())) / 3600"""


def value(context, sql):
    return context.sql(sql).collect()[0].column(0)[0].as_py()


print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
print("hour in New York at noon in UTC, DuckDB:", duckdb.execute(NOON).fetchall()[0][0])
context = datafusion.SessionContext()
for zone in (None, "UTC"):
    if zone:
        context.sql(f"SET datafusion.execution.time_zone = '{zone}'")
    print(f"DataFusion with session time zone {zone}:")
    print("  hour in New York at noon in UTC:", value(context, NOON))
    print("  hours between now() and now() AT TIME ZONE 'Asia/Kolkata':", value(context, NOW))
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected="datafusion 55.0.0 duckdb 2.0.1
hour in New York at noon in UTC, DuckDB: 8
DataFusion with session time zone None:
  hour in New York at noon in UTC: 12
  hours between now() and now() AT TIME ZONE 'Asia/Kolkata': -5.5
DataFusion with session time zone UTC:
  hour in New York at noon in UTC: 8
  hours between now() and now() AT TIME ZONE 'Asia/Kolkata': 0.0"
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
