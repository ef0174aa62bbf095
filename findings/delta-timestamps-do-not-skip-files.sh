#!/usr/bin/env bash
# DuckDB and chDB open every file of a Delta table for a filter on a timestamp.
#
# What surprised: the log has the smallest and largest timestamp of each file. Both readers skip
# files by a number, a string or a date in that log, and by a timestamp they skip none.
# Versions: duckdb 1.5.5 with duckdb-extension-delta 1.5.5, chdb 4.4.0; table written by deltalake 1.6.6.
# What it means: on an object store a query for one hour opens the whole history. Add a filter on a
# date column next to the one on the timestamp.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1 \
    duckdb==1.5.5 duckdb-extension-delta==1.5.5 pytz==2025.2 chdb==4.4.0

cat > "$tmp/write.py" <<'PY'
import datetime, sys, deltalake, pyarrow as pa

for day in range(1, 9):
    start = datetime.datetime(2026, 11, day, tzinfo=datetime.timezone.utc)
    deltalake.write_deltalake(sys.argv[1], pa.table({
        "site": [f"s{day}"], "number": [day], "date": [start.date()],
        "seen": pa.array([start], pa.timestamp("us", "UTC")),
    }), mode="append")
PY
cat > "$tmp/duck.py" <<'PY'
import pathlib, re, sys, duckdb, duckdb_extension_delta

duck = duckdb.connect()
extension, = pathlib.Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension")
duck.execute(f"LOAD '{extension}'")
for where in ("number >= 8", "site = 's8'", "date >= DATE '2026-11-08'", "seen >= TIMESTAMPTZ '2026-11-08 00:00:00+00'"):
    plan = duck.execute(f"EXPLAIN ANALYZE SELECT sum(number) FROM delta_scan('{sys.argv[1]}') WHERE {where}").fetchall()[0][1]
    print(f"DuckDB, {where.split()[0]}: files", re.search(r"Scanning Files: (\S+)", plan)[1])
PY
cat > "$tmp/ch.py" <<'PY'
import sys, chdb.session

session = chdb.session.Session()


def scanned():
    answer = session.query("SELECT sum(value) FROM system.events WHERE event = 'DeltaLakeScannedFiles'", "CSV")
    return int(answer.data())


for where in ("number >= 8", "site = 's8'", "date >= toDate('2026-11-08')",
              "seen >= toDateTime64('2026-11-08 00:00:00', 6, 'UTC')"):
    before = scanned()
    session.query(f"SELECT sum(number) FROM deltaLakeLocal('{sys.argv[1]}') WHERE {where}")
    print(f"chDB, {where.split()[0]}: files {scanned() - before}/8")
PY
cd "$tmp" # chDB reads only below the current folder
"$tmp/venv/bin/python" write.py "$tmp/table"
"$tmp/venv/bin/pip" --disable-pip-version-check list 2>/dev/null | grep -E '^(chdb|duckdb|deltalake)'
got=$("$tmp/venv/bin/python" duck.py "$tmp/table"; "$tmp/venv/bin/python" ch.py "$tmp/table")
expected='DuckDB, number: files 1/8
DuckDB, site: files 1/8
DuckDB, date: files 1/8
DuckDB, seen: files 8/8
chDB, number: files 1/8
chDB, site: files 1/8
chDB, date: files 1/8
chDB, seen: files 8/8'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
