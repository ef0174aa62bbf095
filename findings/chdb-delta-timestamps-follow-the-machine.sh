#!/usr/bin/env bash
# chDB loses the UTC of a Delta table's timestamps, so its answers depend on the machine's time zone.
#
# What surprised: the column is a UTC timestamp in the Delta schema and in the Parquet file.
# `file(…, Parquet)` reads DateTime64(6, 'UTC'); `deltaLakeLocal` reads DateTime64(6), without a
# zone, and compares and cuts days in the zone of the process.
# Versions: chdb 4.4.0; table written by deltalake 1.6.6.
# What it means: daily counts differ between a laptop and a server. Give the zone in the query
# (`toDate(seen, 'UTC')`, `toDateTime64('…', 6, 'UTC')`), or run with TZ=UTC.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1 chdb==4.4.0

cat > "$tmp/write.py" <<'PY'
import datetime, sys, deltalake, pyarrow as pa

seen = [datetime.datetime(2026, 11, 8, hour, tzinfo=datetime.timezone.utc) for hour in (0, 1, 12)]
deltalake.write_deltalake(sys.argv[1], pa.table({"seen": pa.array(seen, pa.timestamp("us", "UTC"))}))
PY
cat > "$tmp/read.py" <<'PY'
import os, sys, chdb

delta, parquet = f"deltaLakeLocal('{sys.argv[1]}')", f"file('{sys.argv[1]}/*.parquet', Parquet)"
for name, source in (("Delta", delta), ("Parquet", parquet)):
    print(f"TZ={os.environ['TZ']}, {name}:", chdb.query(
        f"""SELECT any(toTypeName(seen)), countIf(toDate(seen) = '2026-11-08'),
                   countIf(seen >= '2026-11-08 00:00:00') FROM {source}""", "TSV").data().strip().split("\t"))
PY
cd "$tmp" # chDB reads only below the current folder
"$tmp/venv/bin/python" write.py "$tmp/table"
"$tmp/venv/bin/pip" --disable-pip-version-check list 2>/dev/null | grep -E '^(chdb|deltalake)'
echo "type, events of 8 November, events since its midnight (all three events are of that day in UTC):"
got=$(for zone in UTC America/New_York; do TZ=$zone "$tmp/venv/bin/python" read.py "$tmp/table"; done)
expected=$(cat <<'END'
TZ=UTC, Delta: ['Nullable(DateTime64(6))', '3', '3']
TZ=UTC, Parquet: ["Nullable(DateTime64(6, \\'UTC\\'))", '3', '3']
TZ=America/New_York, Delta: ['Nullable(DateTime64(6))', '1', '1']
TZ=America/New_York, Parquet: ["Nullable(DateTime64(6, \\'UTC\\'))", '3', '3']
END
)
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
