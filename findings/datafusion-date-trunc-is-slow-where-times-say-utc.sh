#!/usr/bin/env bash
# DataFusion takes many times as long for date_trunc('day', …) where a column of timestamps says that it is of UTC.
#
# What surprised: a column of Timestamp(µs, "UTC") and one of Timestamp(µs) hold the same numbers, and their days begin at the
# same ones. Without a zone, days are cut off by a division. With any zone, UTC among them, each row goes through the calendar
# and the rules of the zone. Parquet files of instants (isAdjustedToUTC) are read as of UTC, so this is what most people have.
# Versions: datafusion 55.0.0 (PyPI). Seen: 21 times as long as without a zone; the script asks for five times.
# What it means: cut days off of a column without the zone (arrow_cast(at, 'Timestamp(Microsecond, None)')), or use date_bin, which divides.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import sys
import time

import datafusion, pyarrow

numbers = pyarrow.array(range(1_772_000_000_000_000, 1_774_000_000_000_000, 500_000_000))
numbers = pyarrow.chunked_array([numbers] * 500)
times = {"with_zone": numbers.cast(pyarrow.timestamp("us", "UTC")), "without": numbers.cast(pyarrow.timestamp("us"))}
context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(1))
context.register_record_batches("t", [pyarrow.table(times).to_batches()])


def seconds(expression):
    sql = f"SELECT count(DISTINCT {expression}) AS n FROM t"
    best = float("inf")
    for _ in range(3):
        begin = time.perf_counter()
        days = context.sql(sql).to_pylist()[0]["n"]
        best = min(best, time.perf_counter() - begin)
    return days, best


days, plain = seconds("date_trunc('day', without)")
print("datafusion", datafusion.__version__, "rows", len(numbers))
for name, expression in {
    "date_trunc, UTC": "date_trunc('day', with_zone)",
    "date_bin, UTC": "date_bin(INTERVAL '1 day', with_zone)",
    "date_trunc of a column without the zone": "date_trunc('day', arrow_cast(with_zone, 'Timestamp(Microsecond, None)'))",
}.items():
    same, took = seconds(expression)
    print(f"{name}: {took / plain:.1f} times", file=sys.stderr)
    print(f"{name}: same days {same == days}, over five times as long {took > 5 * plain}")
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 rows 2000000
date_trunc, UTC: same days True, over five times as long True
date_bin, UTC: same days True, over five times as long False
date_trunc of a column without the zone: same days True, over five times as long False'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
