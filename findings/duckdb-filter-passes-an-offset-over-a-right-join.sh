#!/usr/bin/env bash
# DuckDB 1.5.5 looks for x IN (SELECT …) before it skips the rows of an OFFSET, over a RIGHT JOIN.
#
# What surprised: the condition stands outside of ORDER BY … LIMIT 3 OFFSET 2, and may only choose among the
# three rows behind it. Its values are handed down to the scan below the join, where rows without a match (here
# the null that comes first) are gone before the OFFSET counts them, so that other rows are skipped. No error.
# Versions: duckdb 1.5.5 (the newest with a Delta extension); duckdb 2.0.1 answers as SQL says.
# What it means: ask 1.5.5 with PRAGMA disable_optimizer, or keep the rows in a table before choosing among them.
set -euo pipefail
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

cat > "$tmp/run.py" <<'PY'
import duckdb

connection = duckdb.connect()
connection.execute("CREATE TABLE t AS SELECT * FROM (VALUES (NULL), (1), (2), (3), (4), (5), (6)) AS v(x)")
joined = "SELECT b.x, a.y FROM (SELECT x + 100 AS y FROM t) a RIGHT JOIN t b ON a.y = b.x"
some = f"SELECT * FROM ({joined}) ORDER BY y NULLS LAST, x NULLS FIRST LIMIT 3 OFFSET 2"
chosen = f"SELECT x FROM ({some}) WHERE x IN (SELECT x FROM t WHERE x IS NOT NULL) ORDER BY x"
print("duckdb", duckdb.__version__)
print("  three rows      ", [x for (x, _) in connection.execute(some).fetchall()])
print("  chosen of them  ", [x for (x,) in connection.execute(chosen).fetchall()])
connection.execute("PRAGMA disable_optimizer")
print("  without optimizer", [x for (x,) in connection.execute(chosen).fetchall()])
PY
got=$(for version in 1.5.5 2.0.1; do
    python3 -m venv "$tmp/$version"
    "$tmp/$version/bin/pip" install -q --disable-pip-version-check "duckdb==$version"
    "$tmp/$version/bin/python" "$tmp/run.py"
done)
expected='duckdb 1.5.5
  three rows       [2, 3, 4]
  chosen of them   [3, 4, 5]
  without optimizer [2, 3, 4]
duckdb 2.0.1
  three rows       [2, 3, 4]
  chosen of them   [2, 3, 4]
  without optimizer [2, 3, 4]'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
