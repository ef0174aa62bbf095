#!/usr/bin/env bash
# Two delta-rs compactors that start from the same version double the rows of the table.
#
# What surprised: the second compaction removes files that the first has already removed and adds
# its own copy of their rows. The conflict check lets it through: it passes over removes marked
# dataChange=false, which is how OPTIMIZE marks them. A delete() from the same old version is refused.
# Versions: deltalake 1.6.6.
# What it means: run one compactor per table, and make sure that a restarted one cannot overlap
# with its predecessor.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import sys, deltalake, pyarrow as pa
from deltalake import DeltaTable

path, rows = sys.argv[1], pa.table({"n": list(range(10))})


def state(when):
    table = DeltaTable(path)
    files = pa.table(table.get_add_actions(flatten=True))
    print(f"{when}: version {table.version()}, {files.num_rows} files, {sum(files['num_records'].to_pylist())} rows")


print("deltalake", deltalake.__version__)
for _ in range(4):
    deltalake.write_deltalake(path, rows, mode="append")
state("four appends")
first, second, third = (DeltaTable(path) for _ in range(3))
first.optimize.compact()
state("first compactor")
second.optimize.compact()
state("second compactor, from the version before the first")
try:
    third.delete("n < 5")
except Exception as error:
    print("delete from that version:", type(error).__name__)
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py" "$tmp/table")
expected='deltalake 1.6.6
four appends: version 3, 4 files, 40 rows
first compactor: version 4, 1 files, 40 rows
second compactor, from the version before the first: version 5, 2 files, 80 rows
delete from that version: CommitFailedError'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
