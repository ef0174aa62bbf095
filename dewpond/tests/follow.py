"""Prints the ids of the events that each version after AFTER brought, as docs/OPERATIONS.md says: python follow.py TABLE AFTER.

Needs deltalake with pyarrow, see requirements.txt beside this file.
"""

import json
import sys

import pyarrow.parquet
from deltalake import DeltaTable


def new_rows(table, after):
    """The new rows of each version behind `after`, in order. Merges and removals bring none."""
    for entry in sorted(DeltaTable(table).history(), key=lambda entry: entry["version"]):
        version = entry["version"]
        if version <= after or entry["operation"] != "WRITE":
            continue
        before = set(DeltaTable(table, version=version - 1).file_uris())
        for file in sorted(set(DeltaTable(table, version=version).file_uris()) - before):
            yield version, pyarrow.parquet.ParquetFile(file).read()


for version, rows in new_rows(sys.argv[1], int(sys.argv[2])):
    print(json.dumps({"version": version, "ids": sorted(id.hex() for id in rows["event_id"].to_pylist())}))
