"""The questions of `dewpond-bench questions`, answered by DuckDB, Polars and chDB over the same Parquet files.

Usage: engines.py LAKE DEWPOND_BENCH [RUNS]

Ours is asked twice over: once, as ad-hoc SQL is, and as a metric's first run, which makes states for the next ones.
Each answer is computed in a process of its own; the best of RUNS counts. All answers are compared, and differences said: there are a
few more sessions of ours, which are cut after 24 hours. A peer's clock begins
when its library is loaded, ours when the process opens the lake.
"""

import json
import resource
import subprocess
import sys
import time

SESSIONS = """SELECT count(*) FROM (SELECT occurred_at - lag(occurred_at) OVER (PARTITION BY visitor_id ORDER BY occurred_at)
    AS pause FROM events WHERE NOT is_bot) WHERE pause IS NULL OR pause > INTERVAL 30 MINUTE"""

SQL = {
    "users and events by day": "SELECT CAST(date AS VARCHAR), count(DISTINCT visitor_id), count(*) FROM events GROUP BY date ORDER BY date",
    "users and events by site and day": "SELECT site_id, CAST(date AS VARCHAR), count(DISTINCT visitor_id), count(*) FROM events GROUP BY site_id, date ORDER BY site_id, date",
    "users": "SELECT count(DISTINCT visitor_id) FROM events",
    "users with an object in view": "SELECT count(DISTINCT visitor_id) FROM events WHERE name = 'object_in_view'",
    "sessions of 30 minutes": SESSIONS,
    "top pages with users": "SELECT path, count(*) AS n, count(DISTINCT visitor_id) FROM events WHERE name = 'page_view' GROUP BY path ORDER BY n DESC, path LIMIT 50",
    "events by name with users": "SELECT name, count(*), count(DISTINCT visitor_id) FROM events GROUP BY name ORDER BY name",
    "first and last seen": "SELECT count(*), count(*) FILTER (WHERE last - first > INTERVAL 1 DAY) FROM (SELECT visitor_id, min(occurred_at) AS first, max(occurred_at) AS last FROM events GROUP BY visitor_id)",
    "one site by hour": "SELECT CAST(epoch(date_trunc('hour', occurred_at)) AS BIGINT), count(*), count(DISTINCT visitor_id) FROM events WHERE site_id = 'site-0007' GROUP BY date_trunc('hour', occurred_at) ORDER BY 1",
}


def duckdb(files, question):
    import duckdb as engine

    started = time.perf_counter()
    connection = engine.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE VIEW events AS SELECT * FROM read_parquet('{files}', hive_partitioning = true)")
    rows = connection.execute(SQL[question]).fetchall()
    return time.perf_counter() - started, rows


def chdb(files, question):
    import chdb as engine

    sql = SQL[question].replace("CAST(date AS VARCHAR)", "toString(date)")
    sql = sql.replace("count(*) FILTER (WHERE last - first > INTERVAL 1 DAY)", "countIf(toUnixTimestamp64Micro(last) - toUnixTimestamp64Micro(first) > 86400000000)")
    sql = sql.replace("CAST(epoch(date_trunc('hour', occurred_at)) AS BIGINT)", "toUnixTimestamp(date_trunc('hour', occurred_at))")
    if question == "sessions of 30 minutes":
        sql = """SELECT count() FROM (SELECT visitor_id, toUnixTimestamp64Micro(occurred_at) AS at,
            lagInFrame(at) OVER (PARTITION BY visitor_id ORDER BY at ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before,
            row_number() OVER (PARTITION BY visitor_id ORDER BY at) AS place FROM events WHERE NOT is_bot)
            WHERE place = 1 OR at - before > 1800000000"""
    started = time.perf_counter()
    sql = sql.replace("FROM events", f"FROM file('{files}', Parquet)")
    rows = [json.loads(line) for line in str(engine.query(sql, "JSONCompactEachRow")).splitlines()]
    return time.perf_counter() - started, rows


def polars(files, question):
    import polars as pl

    started = time.perf_counter()
    events = pl.scan_parquet(files, hive_partitioning=True)
    users = pl.col("visitor_id").n_unique()
    if question == "users and events by day":
        frame = events.group_by("date").agg(users, pl.len()).sort("date").with_columns(pl.col("date").cast(pl.String))
    elif question == "users and events by site and day":
        frame = events.group_by("site_id", "date").agg(users, pl.len()).sort("site_id", "date")
        frame = frame.with_columns(pl.col("date").cast(pl.String))
    elif question == "users":
        frame = events.select(users)
    elif question == "users with an object in view":
        frame = events.filter(pl.col("name") == "object_in_view").select(users)
    elif question == "sessions of 30 minutes":
        pause = pl.col("occurred_at").diff().over("visitor_id")
        frame = events.filter(~pl.col("is_bot")).select("visitor_id", "occurred_at").sort("visitor_id", "occurred_at")
        frame = frame.with_columns(pause.alias("pause"))
        frame = frame.filter(pl.col("pause").is_null() | (pl.col("pause") > pl.duration(minutes=30))).select(pl.len())
    elif question == "top pages with users":
        frame = events.filter(pl.col("name") == "page_view").group_by("path").agg(pl.len().alias("n"), users)
        frame = frame.sort(["n", "path"], descending=[True, False]).limit(50)
    elif question == "events by name with users":
        frame = events.group_by("name").agg(pl.len(), users).sort("name")
    elif question == "first and last seen":
        at = pl.col("occurred_at")
        frame = events.group_by("visitor_id").agg((at.max() - at.min()).alias("span"))
        frame = frame.select(pl.len(), (pl.col("span") > pl.duration(days=1)).sum())
    else:
        hour = pl.col("occurred_at").dt.truncate("1h").dt.epoch("s").alias("hour")
        frame = events.filter(pl.col("site_id") == "site-0007").group_by(hour).agg(pl.len(), users).sort("hour")
    rows = frame.collect(engine="streaming").rows()
    return time.perf_counter() - started, rows


PEERS = {"duckdb": duckdb, "polars": polars, "chdb": chdb}


def ask(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        return {"failed": (done.stderr.strip() or "it was killed").splitlines()[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def normal(rows):
    return [[int(value) if not isinstance(value, str) or value.lstrip("-").isdigit() else value for value in row] for row in rows]


def main(lake, bench, runs):
    files = f"{lake}/events/date=*/*.parquet"
    ours = ["dewpond", "first run of a metric"]
    names = [*ours, *PEERS]
    best = {name: {} for name in names}
    memory = {name: 0 for name in names}
    print("| |", " | ".join(names), "| dewpond / best |")
    print("|---|" + "--:|" * (len(names) + 1))
    for question in SQL:
        answers = {}
        for name in names:
            if name in ours:
                command = [bench, "questions", "--lake", lake, "--question", question, *(["--once"] if name == "dewpond" else [])]
            else:
                command = [sys.executable, __file__, "--peer", name, files, question]
            for _ in range(runs):
                told = ask(command)
                if "failed" in told:
                    best[name][question] = None
                    print(f"{name}: {question}: {told['failed']}", file=sys.stderr)
                    break
                memory[name] = max(memory[name], told["rss_bytes_max"])
                answers[name] = normal(told["answer"])
                known = best[name].get(question)
                best[name][question] = min(known, told["seconds"]) if known else told["seconds"]
        for name, answer in answers.items():
            if "dewpond" in answers and answer != answers["dewpond"]:
                print(f"{name} answers {question} otherwise: {answer[:3]} for {answers['dewpond'][:3]}", file=sys.stderr)
        shown = [best[name][question] for name in names]
        peers = [seconds for seconds in shown[len(ours) :] if seconds]
        ratio = f"{shown[0] / min(peers):.2f}" if shown[0] and peers else ""
        print(f"| {question} |", " | ".join(f"{seconds:.2f}" if seconds else "fails" for seconds in shown), f"| {ratio} |", flush=True)
    totals = [sum(seconds or 0 for seconds in best[name].values()) for name in names]
    print("| **all** |", " | ".join(f"**{total:.1f}**" for total in totals), f"| **{totals[0] / min(totals[len(ours) :]):.2f}** |")
    print("| memory at most, GiB |", " | ".join(f"{memory[name] / (1 << 30):.2f}" for name in names), "| |")


if __name__ == "__main__":
    if sys.argv[1] == "--peer":
        took, found = PEERS[sys.argv[2]](sys.argv[3], sys.argv[4])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": took, "rss_bytes_max": peak, "answer": [list(row) for row in found]}))
    else:
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 2)
