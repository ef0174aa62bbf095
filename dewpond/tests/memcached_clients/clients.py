"""Reads a report from Memcached with pymemcache and with pylibmc, and prints a line of JSON for each client:
python clients.py HOST:PORT KEY"""

import json
import sys

import pylibmc
import pymemcache

server, key = sys.argv[1:]


def show(client, value):
    report = json.loads(value)
    metrics = {
        name: [len(metric["rows"]), metric.get("row_count")] for name, metric in report["metrics"].items()
    }
    print(json.dumps({"client": client, "truncated": report.get("truncated", False), "metrics": metrics}))


show("pymemcache", pymemcache.Client(server).get(key))
show("pylibmc", pylibmc.Client([server]).get(key))
