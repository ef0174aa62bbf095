"""Measures imports beside DuckDB: python imports.py DEWPOND ROWS [RUNS].

Rows a second of `dewpond import` from NDJSON, from Parquet and from a log, against `INSERT INTO … SELECT` of DuckDB from the same
NDJSON into a table whose primary key keeps copies out. Both write to a local disk and leave out what is there already. The
fastest run counts. Prints a Markdown table, with the most memory that the import took.
"""

import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
import uuid

import duckdb

AGENT = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

dewpond, rows, runs = sys.argv[1], int(sys.argv[2].replace("_", "")), int(sys.argv[3]) if len(sys.argv) > 3 else 3


def write(directory):
    """The same events as NDJSON, as Parquet, and as a log."""
    chance = random.Random(1)
    ndjson, log = directory / "events.ndjson", directory / "access.log"
    with open(ndjson, "w") as events, open(log, "w") as lines:
        for n in range(rows):
            at = 1_772_366_400 + n // 100
            path = f"/products/{chance.randrange(5_000)}"
            event = {
                "event_id": str(uuid.UUID(int=chance.getrandbits(128))),
                "name": chance.choice(["page_view", "page_view", "page_view", "object_in_view", "purchase"]),
                "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
                "anonymous_id": f"visitor-{chance.randrange(rows // 20 + 1)}",
                "url": f"https://shop.example{path}",
                "referrer": "https://www.google.com/",
                "browser": "Chrome",
                "country": "DE",
                "revenue": chance.randrange(1, 10_000) / 100,
            }
            events.write(json.dumps(event, separators=(",", ":")) + "\n")
            day = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))
            address = f"192.0.2.{chance.randrange(256)}"
            lines.write(f'{address} - - [{day}] "GET {path} HTTP/1.1" 200 5120 "https://www.google.com/" "{AGENT}"\n')
    parquet = directory / "events.parquet"
    duckdb.sql(f"COPY (SELECT * FROM read_json('{ndjson}')) TO '{parquet}' (FORMAT parquet)")
    return ndjson, parquet, log


# In a process of its own: what a process takes begins with what the one takes that starts it, and DuckDB is in this one.
RUN = """
import json, os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)]
began = time.monotonic()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], {**os.environ, "DEWPOND_LOG": "error"}, file_actions=quiet)
_, status, usage = os.wait4(child, 0)
print(json.dumps([time.monotonic() - began, status, usage.ru_maxrss / 1_024]))
"""


def imported(file, flags):
    """The seconds of the fastest run, and the most memory of any, in MiB."""
    fastest, memory = float("inf"), 0
    for _ in range(runs):
        lake = tempfile.mkdtemp(dir=file.parent)
        command = [os.path.abspath(dewpond), "import", "--lake", lake, "--site", "shop", *flags, str(file)]
        ran = subprocess.run([sys.executable, "-c", RUN, *command], capture_output=True, check=True, text=True)
        seconds, status, taken = json.loads(ran.stdout)
        fastest, memory = min(fastest, seconds), max(memory, taken)
        shutil.rmtree(lake)
        assert status == 0, f"the import of {file} failed"
    return fastest, memory


def inserted(file):
    """The seconds of DuckDB's fastest run."""
    fastest = float("inf")
    for run in range(runs):
        database = file.parent / f"peer-{run}.duckdb"
        connection = duckdb.connect(str(database))
        connection.execute(f"CREATE TABLE events AS SELECT * FROM read_json('{file}') LIMIT 0")
        connection.execute("ALTER TABLE events ADD PRIMARY KEY (event_id)")
        began = time.monotonic()
        connection.execute(f"INSERT INTO events SELECT * FROM read_json('{file}') ON CONFLICT DO NOTHING")
        connection.execute("CHECKPOINT")
        fastest = min(fastest, time.monotonic() - began)
        connection.close()
        database.unlink()
    return fastest


with tempfile.TemporaryDirectory() as directory:
    ndjson, parquet, log = write(pathlib.Path(directory))
    peer = inserted(ndjson)
    print(f"### Importing {rows} rows, fastest of {runs} runs\n")
    print("| What | rows/s | against DuckDB | memory at most, MiB |\n|---|--:|--:|--:|")
    print(f"| DuckDB {duckdb.__version__}, NDJSON | {rows / peer:.0f} | 1.00 | |")
    for what, file, flags in [
        ("NDJSON", ndjson, []),
        ("Parquet", parquet, []),
        ("combined log", log, ["--format", "combined", "--set", "host=shop.example"]),
    ]:
        seconds, memory = imported(file, flags)
        print(f"| import, {what} | {rows / seconds:.0f} | {peer / seconds:.2f} | {memory:.0f} |")
