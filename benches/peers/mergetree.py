"""Bytes per event: our table `events` against ClickHouse's MergeTree with ZSTD(3), same rows, columns and order.

usage: mergetree.py LAKE        (a local lake; needs `pip install chdb`)

Every file of the table is read by ClickHouse itself and inserted into a MergeTree that is ordered as the files are;
then all its parts are merged into one. Compared are the bytes of the columns' compressed data on both sides (ours
with footers, indexes and bloom filters, theirs without marks and primary key). For random ids in place of UUIDv7, let
`size --random-ids` make the lake.
"""

import glob
import json
import os
import sys
import tempfile

from chdb import session


def main() -> None:
    lake = sys.argv[1]
    files = sorted(glob.glob(os.path.join(lake, "events", "date=*", "*.parquet")))
    ours_bytes = sum(os.path.getsize(path) for path in files)
    chdb = session.Session(tempfile.mkdtemp())
    source = f"file('{lake}/events/date=*/*.parquet', Parquet)"
    chdb.query(
        f"""CREATE TABLE default.events ENGINE = MergeTree ORDER BY (site_id, visitor_id, occurred_at)
        SETTINGS allow_nullable_key = 1, default_compression_codec = 'ZSTD(3)'
        AS SELECT * FROM {source}"""
    )
    chdb.query("OPTIMIZE TABLE default.events FINAL")
    answer = chdb.query(
        """SELECT sum(rows) AS rows, sum(data_compressed_bytes) AS bytes,
        (SELECT sum(column_data_compressed_bytes) FROM system.parts_columns
         WHERE active AND table = 'events' AND column = 'event_id') AS id_bytes
        FROM system.parts WHERE active AND table = 'events'""",
        "JSONEachRow",
    )
    found = json.loads(str(answer).strip())
    rows, theirs, ids = (int(found[key]) for key in ("rows", "bytes", "id_bytes"))
    print(f"{rows} events; MergeTree {theirs / rows:.2f} B/event, {ids / rows:.2f} of them the id")
    print(f"Dewpond {ours_bytes / rows:.2f} B/event, {ours_bytes / theirs:.2f} of MergeTree")


if __name__ == "__main__":
    main()
