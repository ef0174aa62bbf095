#!/usr/bin/env bash
# The Parquet encodings made for ids cannot be read by Polars and, one of them, by DuckDB.
#
# What surprised: a 16-byte id stored as FIXED_LEN_BYTE_ARRAY may be encoded as DELTA_BYTE_ARRAY or,
# since format 2.11, as BYTE_STREAM_SPLIT, and pyarrow writes and reads both. Polars reads neither,
# DuckDB only the first. The same bytes as a plain BYTE_ARRAY with DELTA_BYTE_ARRAY are read by all.
# Versions: polars 2.1.0, duckdb 2.0.1, files written by pyarrow 26.0.1.
# What it means: a file that people read with tools of their choice keeps ids as plain byte arrays.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.1

cat > "$tmp/run.py" <<'PY'
import sys, duckdb, polars, pyarrow as pa, pyarrow.parquet as pq

IDS = [bytes([i]) * 16 for i in range(4)]
READERS = {
    "pyarrow": lambda file: pq.read_table(file)["id"].to_pylist(),
    "Polars": lambda file: polars.read_parquet(file)["id"].to_list(),
    "DuckDB": lambda file: [row[0] for row in duckdb.execute(f"SELECT id FROM '{file}'").fetchall()],
}
print("pyarrow", pa.__version__, "polars", polars.__version__, "duckdb", duckdb.__version__)
for name, arrow_type, encoding in (
    ("fixed", pa.binary(16), "PLAIN"),
    ("fixed", pa.binary(16), "DELTA_BYTE_ARRAY"),
    ("fixed", pa.binary(16), "BYTE_STREAM_SPLIT"),
    ("variable", pa.binary(), "DELTA_BYTE_ARRAY"),
):
    file = f"{sys.argv[1]}/{name}-{encoding}.parquet"
    pq.write_table(pa.table({"id": pa.array(IDS, arrow_type)}), file,
                   use_dictionary=False, column_encoding={"id": encoding})
    for reader, read in READERS.items():
        try:
            outcome = "reads it" if read(file) == IDS else "reads other bytes"
        except Exception as error:
            outcome = type(error).__name__
            print(f"{reader} says: {error}", file=sys.stderr)
        print(f"{name} {encoding}, {reader}: {outcome}")
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py" "$tmp")
expected='pyarrow 26.0.1 polars 2.1.0 duckdb 2.0.1
fixed PLAIN, pyarrow: reads it
fixed PLAIN, Polars: reads it
fixed PLAIN, DuckDB: reads it
fixed DELTA_BYTE_ARRAY, pyarrow: reads it
fixed DELTA_BYTE_ARRAY, Polars: ComputeError
fixed DELTA_BYTE_ARRAY, DuckDB: reads it
fixed BYTE_STREAM_SPLIT, pyarrow: reads it
fixed BYTE_STREAM_SPLIT, Polars: ComputeError
fixed BYTE_STREAM_SPLIT, DuckDB: Error
variable DELTA_BYTE_ARRAY, pyarrow: reads it
variable DELTA_BYTE_ARRAY, Polars: reads it
variable DELTA_BYTE_ARRAY, DuckDB: reads it'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
