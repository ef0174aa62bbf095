#!/usr/bin/env bash
# Polars, DuckDB and deltalake do not find their Delta table in some directories of a local disk.
#
# What surprised: the name of a directory becomes part of a URL and is not always read back. Polars fails at
# spaces and letters beyond ASCII, DuckDB at a percent sign, all three at a name that looks like an escape: deltalake
# finds no log in "a%20b" once it has written one.
# Versions: deltalake 1.6.6, polars 2.1.0, duckdb 1.5.5 with duckdb-extension-delta 1.5.5.
# What it means: keep tables that several engines read in directories with plain names.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1 polars==2.1.0 \
    duckdb==1.5.5 duckdb-extension-delta==1.5.5 pytz==2025.2

cat > "$tmp/read.py" <<'PY'
import pathlib, shutil, sys, deltalake, duckdb, duckdb_extension_delta, polars, pyarrow as pa

duck = duckdb.connect()
extension, = pathlib.Path(duckdb_extension_delta.__file__).parent.glob("extensions/*/delta.duckdb_extension")
duck.execute(f"LOAD '{extension}'")
readers = {
    "deltalake": lambda table: deltalake.DeltaTable(table).to_pyarrow_table().num_rows,
    "polars": lambda table: polars.scan_delta(table).collect().height,
    "duckdb": lambda table: duck.execute("SELECT count(*) FROM delta_scan(?)", [table]).fetchone()[0],
}
plain = sys.argv[1] + "/plain"
deltalake.write_deltalake(plain, pa.table({"number": [1]}))
for name in ["a+b", "my lake", "bücher", "50%", "a%20b"]:
    table = f"{sys.argv[1]}/{name}"
    shutil.copytree(plain, table)
    lost = []
    for engine, read in readers.items():
        try:
            assert read(table) == 1
        except Exception:
            lost.append(engine)
    print(f"{name}: {', '.join(lost) or 'read by all'}{' cannot' if lost else ''}")
PY
"$tmp/venv/bin/pip" --disable-pip-version-check list 2>/dev/null | grep -E '^(deltalake|duckdb|polars)'
got=$("$tmp/venv/bin/python" "$tmp/read.py" "$tmp")
expected='a+b: read by all
my lake: polars cannot
bücher: polars cannot
50%: polars, duckdb cannot
a%20b: deltalake, polars, duckdb cannot'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
