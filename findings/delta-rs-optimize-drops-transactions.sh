#!/usr/bin/env bash
# delta-rs accepts application transactions for OPTIMIZE and does not write them.
#
# What surprised: append, delete and update write the `txn` action of commit_properties. compact()
# and z_order() take the same argument, write its custom_metadata and leave its transactions out.
# Versions: deltalake 1.6.6.
# What it means: a compactor cannot use transaction versions to tell whether a run has been committed
# already. Use the custom metadata or a record outside the table.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1

cat > "$tmp/run.py" <<'PY'
import json, sys, deltalake, pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction

path, rows = sys.argv[1], pa.table({"n": list(range(10))})


def properties(job):
    return CommitProperties(custom_metadata={"job": job}, app_transactions=[Transaction(job, 1)])


for _ in range(3):
    deltalake.write_deltalake(path, rows, mode="append", commit_properties=properties("append"))
DeltaTable(path).delete("n < 2", commit_properties=properties("delete"))
DeltaTable(path).update(updates={"n": "5"}, predicate="n = 4", commit_properties=properties("update"))
deltalake.write_deltalake(path, rows, mode="append")
DeltaTable(path).optimize.compact(commit_properties=properties("compact"))
deltalake.write_deltalake(path, rows, mode="append")
DeltaTable(path).optimize.z_order(["n"], commit_properties=properties("z_order"))

print("deltalake", deltalake.__version__)
table = DeltaTable(path)
jobs = [commit.get("job") for commit in table.history()]
for job in ("append", "delete", "update", "compact", "z_order"):
    print(f"{job}: in the history {job in jobs}, transaction version {table.transaction_version(job)}")
PY
got=$("$tmp/venv/bin/python" "$tmp/run.py" "$tmp/table")
expected='deltalake 1.6.6
append: in the history True, transaction version 1
delete: in the history True, transaction version 1
update: in the history True, transaction version 1
compact: in the history True, transaction version None
z_order: in the history True, transaction version None'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
