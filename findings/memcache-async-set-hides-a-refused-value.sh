#!/usr/bin/env bash
# memcache-async says Ok to a set that memcached refuses, and the older value is gone.
#
# What surprised: set() is sent with `noreply`. For a value over the server's item limit (1 MiB by
# default) memcached deletes what the key held and, so asked, does not answer. set() returns Ok, and
# the next get() says NotFound.
# Versions: memcache-async 0.10.1; memcached 1.6.18 of Debian 12.
# What it means: Ok from set() means "written to the socket". Check the size before, or read back.
# Needs: memcached on the PATH, or Debian 12, whose package is unpacked into the temporary folder.
set -euo pipefail
tmp=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$tmp"' EXIT
if ! command -v memcached >/dev/null; then
    (cd "$tmp" && apt-get download -qq memcached libevent-2.1-7 2>/dev/null && for deb in *.deb; do dpkg -x "$deb" .; done)
    export PATH="$tmp/usr/bin:$PATH"
    LD_LIBRARY_PATH=$(dirname "$(find "$tmp/usr/lib" -name 'libevent-2.1.so.7' | head -n 1)")
    export LD_LIBRARY_PATH
fi
memcached -u "$(id -un)" -s "$tmp/socket" &
server=$!
mkdir "$tmp/src"
cat > "$tmp/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"

[dependencies]
memcache-async = { version = "=0.10.1", default-features = false, features = ["with-tokio"] }
tokio = { version = "=1.47.1", features = ["io-util", "macros", "net", "rt"] }

[workspace]
TOML
cat > "$tmp/src/main.rs" <<'RUST'
use memcache_async::ascii::Protocol;
use tokio::net::UnixStream;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let socket = std::env::args().nth(1).expect("a socket");
    let mut cache = Protocol::new(UnixStream::connect(socket).await.expect("memcached"));
    for size_bytes in [1_000, 2_000_000] {
        let answer = cache.set("report", &vec![b'x'; size_bytes], 0).await.map_err(|e| e.kind());
        println!("set {size_bytes} bytes: {answer:?}");
        let value = cache.get("report").await.map(|value| value.len()).map_err(|e| e.kind());
        println!("get: {value:?}");
    }
}
RUST
memcached -V
echo "memcache-async 0.10.1"
got=$(cd "$tmp" && CARGO_TARGET_DIR="$tmp/target" cargo run --quiet -- "$tmp/socket")
expected='set 1000 bytes: Ok(())
get: Ok(1000)
set 2000000 bytes: Ok(())
get: Err(NotFound)'
echo "$got"
if [ "$got" != "$expected" ]; then
    echo "The behaviour has changed (< expected, > seen):"
    diff <(echo "$expected") <(echo "$got") || exit 1
fi
