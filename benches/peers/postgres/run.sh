#!/bin/bash
# Starts the tracker with a database of its own, and prints {"port":N} when both are up.
#
#   run.sh DIR [--group]
#
# DIR is made, or empty, and holds the database. At SIGTERM, SIGINT or the end of standard input everything is
# stopped and DIR removed. WRITE_KEY is the site's write key (`dpw_peer` if not given).
#
# All processes are descendants of this one, for whoever wants to measure what they use. The database's log goes to
# standard error.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

[ $# -ge 1 ] || fail "usage: run.sh DIR [--group]"
mkdir -p "$1"
dir=$(cd "$1" && pwd)
shift
[ -z "$(ls -A "$dir")" ] || fail "$dir is not empty, and would be removed at the end"
# The address of a Unix socket has 107 bytes.
[ ${#dir} -le 80 ] || fail "the path of $dir is too long for a socket"

database='' server=''
stop() {
    trap '' TERM INT
    if [ -n "$server" ]; then kill -TERM "$server" 2>/dev/null || true; wait "$server" || true; fi
    # SIGINT: end the sessions and stop.
    if [ -n "$database" ]; then kill -INT "$database" 2>/dev/null || true; wait "$database" || true; fi
    cd / && rm -rf "$dir"
}
trap stop EXIT
trap 'exit 0' TERM INT

# Debian keeps the server's programs out of PATH, by version.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1 || true)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb || true)")
[ -x "$bin/initdb" ] || fail "PostgreSQL is missing: apt-get update && apt-get install -y postgresql"
command -v node >/dev/null || fail "node 20 or later is missing"
[ -d "$here/node_modules" ] || (cd "$here" && npm ci --ignore-scripts --omit=optional --no-audit --no-fund >&2)

# PostgreSQL does not run as root.
as_postgres=(setpriv)
if [ "$(id -u)" = 0 ]; then
    id postgres >/dev/null 2>&1 || fail "there is no user postgres: apt-get install -y postgresql"
    as_postgres+=(--reuid=postgres --regid=postgres --init-groups)
    chown postgres: "$dir"
fi
chmod 700 "$dir"
cd "$dir"
"${as_postgres[@]}" --pdeathsig keep test -w "$dir" || fail "the user postgres cannot reach $dir"

"${as_postgres[@]}" --pdeathsig keep "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C \
    >"$dir/initdb.log" 2>&1 || fail "could not make a database: $(cat "$dir/initdb.log")"
# The database ends with this script, even if the script is killed. Durability is what is measured: it is said once
# more here, though it is the default. All the rest is as it comes, but for the network, which nobody needs.
"${as_postgres[@]}" --pdeathsig INT "$bin/postgres" -D "$dir/data" -k "$dir" -c listen_addresses= \
    -c fsync=on -c synchronous_commit=on -c full_page_writes=on -c log_min_messages=error </dev/null >&2 &
database=$!

export PGHOST=$dir PGUSER=postgres PGDATABASE=postgres
until "$bin/pg_isready" -q; do
    kill -0 "$database" 2>/dev/null || fail "the database did not start"
    sleep 0.1
done
psql=("$bin/psql" -X -q -v ON_ERROR_STOP=1)
"${psql[@]}" -f "$here/schema.sql"
"${psql[@]}" -v key="${WRITE_KEY:-dpw_peer}" <<<"INSERT INTO sites (write_key) VALUES (:'key')"

# A connection needs a file descriptor.
ulimit -n "$(ulimit -Hn)" || true
# `<&0`: without it the shell would give a background process an empty input.
node "$here/server.js" "$@" <&0 &
server=$!
status=0
wait "$server" || status=$?
server=''
exit "$status"
