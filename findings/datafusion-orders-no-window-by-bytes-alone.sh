#!/usr/bin/env bash
# DataFusion refuses a window that is ordered by a binary column alone, and not one with another column before it.
#
# What surprised: row_number() OVER (ORDER BY id) over ids of 16 bytes fails as an internal error of its type coercion. The
# default frame is a RANGE of peers, and nothing is added to the bytes; a text works, and so do the same bytes with
# another column before them or with a frame of ROWS. To name them twice does not help.
# Versions: datafusion 55.0.0 (PyPI); duckdb 2.0.1 answers all of them.
# What it means: order by the column as text, or say ROWS.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check datafusion==55.0.0 duckdb==2.0.1 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import datafusion, duckdb, pyarrow as pa

table = pa.table({"id": pa.array([b"\x02" * 16, b"\x01" * 16], pa.binary()), "n": [1, 2]})
context, duck = datafusion.SessionContext(), duckdb.connect()
context.register_record_batches("events", [table.to_batches()])
duck.register("events", table)
print("datafusion", datafusion.__version__, "duckdb", duckdb.__version__)
for order in ("id", "id, id", "n, id", "id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"):
    sql = f"SELECT n, row_number() OVER (ORDER BY {order}) AS place FROM events ORDER BY n"
    try:
        ours = [tuple(row.values()) for row in context.sql(sql).to_pylist()]
    except Exception as error:
        ours = next(line for line in str(error).splitlines() if "range queries" in line).split(".")[0]
    print(f"ORDER BY {order}: DataFusion {ours}; DuckDB {duck.execute(sql).fetchall()}")
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py")
expected='datafusion 55.0.0 duckdb 2.0.1
ORDER BY id: DataFusion Internal error: Cannot run range queries on datatype: Binary; DuckDB [(1, 2), (2, 1)]
ORDER BY id, id: DataFusion Internal error: Cannot run range queries on datatype: Binary; DuckDB [(1, 2), (2, 1)]
ORDER BY n, id: DataFusion [(1, 1), (2, 2)]; DuckDB [(1, 1), (2, 2)]
ORDER BY id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW: DataFusion [(1, 2), (2, 1)]; DuckDB [(1, 2), (2, 1)]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
