"""Calls the tools for language models with the official client, on standard input and output and over HTTP.

Arguments: the binary, the lake, the directory of the metrics, the server's address, a key of shop, a key of blog, and how
many events each of the two has.
"""

import asyncio
import json
import sys
import urllib.error
import urllib.request

import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

binary, lake, queries, server, shop_key, blog_key = sys.argv[1:7]
shop_events, blog_events = int(sys.argv[7]), int(sys.argv[8])

TOOLS = ["describe_tables", "list_metrics", "read_metric_history", "read_report", "run_sql"]
COUNT = "SELECT site_id, count(*) AS events FROM events GROUP BY site_id ORDER BY site_id"


def check(what, found, expected):
    assert found == expected, f"{what}: {found!r} is not {expected!r}"


def get(path, key=None, body=None):
    request = urllib.request.Request(server + path, data=body)
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def of_http(key, mode="auto"):
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Client(streamable_http_client(server + "/mcp", http_client=httpx2.AsyncClient(headers=headers, timeout=60)), mode=mode)


async def call(client, tool, **arguments):
    """What a tool answers."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, f"{tool} {arguments}: {result.content}"
    # Clients that know no structure read the text.
    check(f"the text of {tool}", json.loads(result.content[0].text), result.structured_content)
    return result.structured_content


async def refused(client, tool, **arguments):
    """In which words a tool refuses."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, f"{tool} {arguments} was answered: {result.content}"
    return result.structured_content["message"]


async def reads(what, client, site, events):
    """Everything that a reader of one site sees, beside what the endpoints say."""
    tools = (await client.list_tools()).tools
    check(f"{what}: tools", sorted(tool.name for tool in tools), TOOLS)
    assert all(tool.annotations.read_only_hint for tool in tools), "a tool says that it only reads"
    assert "cite the metric" in client.instructions, client.instructions

    metrics = {metric["name"]: metric for metric in (await call(client, "list_metrics"))["metrics"]}
    assert "Events, of all time" in metrics["events"]["definition"], metrics["events"]
    assert "sql" not in metrics["events"]
    [one] = (await call(client, "list_metrics", metric="sessions"))["metrics"]
    assert "SELECT" in one["sql"] and one["definition"], one

    report = (await call(client, "read_report", site=site))["report"]
    check(f"{what}: the report", report, get(f"/metrics?site={site}"))
    check(f"{what}: a number", report["metrics"]["events"]["value"], events)
    history = await call(client, "read_metric_history", metric="events", site=site, **{"from": "2026-01-01T00:00:00Z"})
    check(f"{what}: history", [point["value"] for point in history["points"]], [events])
    until = history["until"].replace("+", "%2B")
    told = get(f"/metrics/history?metric=events&site={site}&from=2026-01-01T00:00:00Z&until={until}")
    check(f"{what}: history as the endpoint has it", history["points"], told["points"])

    tables = {table["name"]: table for table in (await call(client, "describe_tables"))["tables"]}
    columns = {column["name"]: column["type"] for column in tables["events"]["columns"]}
    assert "occurred_at" in columns and tables["sessions"]["about"], tables.keys()

    answer = await call(client, "run_sql", sql=COUNT, site=site)
    check(f"{what}: SQL", answer["rows"], [[site, events]])
    by_name = "SELECT count(*) FROM events WHERE name = $name AND occurred_at >= $since"
    answer = await call(client, "run_sql", sql=by_name, params={"name": "page_view", "since": "2020-01-01"})
    check(f"{what}: parameters", answer["rows"], [[events]])


async def is_held(what, client):
    """What nobody may do."""
    for sql in ["DELETE FROM events", "DROP TABLE events", "COPY events TO '/tmp/stolen'", "SELECT * FROM '/etc/passwd'"]:
        await refused(client, "run_sql", sql=sql)
    many = await call(client, "run_sql", sql="SELECT * FROM generate_series(1, 100000)")
    check(f"{what}: rows", (many["row_count"], many["is_whole"]), (1000, False))
    wide = await call(client, "run_sql", sql="SELECT repeat('x', 100000) FROM generate_series(1, 100)")
    check(f"{what}: bytes", (wide["row_count"], wide["is_whole"]), (2, False))
    endless = "SELECT sum(a.value * b.value % 7) FROM generate_series(1, 1000000) a, generate_series(1, 10000000) b"
    words = await refused(client, "run_sql", sql=endless)
    assert "gave up after 10s" in words, words
    check(f"{what}: a wrong word", await refused(client, "run_sql", sql="SELECT visiter_id FROM events"),
          "there is no column visiter_id: did you mean visitor_id?")
    assert "there is no argument" in await refused(client, "run_sql", query="SELECT 1")
    assert "there is no metric" in await refused(client, "read_metric_history", metric="nothing")


async def main():
    # On this machine: the whole lake, or one site of it.
    on_stdio = ["mcp", "--lake", lake, "--queries", queries, "--query-timeout", "10s"]
    async with Client(StdioServerParameters(command=binary, args=on_stdio)) as client:
        check("all sites", (await call(client, "run_sql", sql=COUNT))["rows"],
              [["blog", blog_events], ["shop", shop_events]])
        report = (await call(client, "read_report"))["report"]
        check("the report of the lake", report["metrics"], get("/metrics")["metrics"])
        await is_held("on standard input", client)
    async with Client(StdioServerParameters(command=binary, args=[*on_stdio, "--site", "shop"])) as client:
        await reads("on standard input", client, "shop", shop_events)

    # Over HTTP, also as clients of the older protocols begin.
    for mode in ("auto", "legacy"):
        async with of_http(shop_key, mode) as client:
            await reads(f"over HTTP, {mode}", client, "shop", shop_events)
    async with of_http(shop_key) as client:
        await is_held("over HTTP", client)
        direct = get("/v1/sql", shop_key, COUNT.encode())
        check("as POST /v1/sql has it", (await call(client, "run_sql", sql=COUNT))["rows"], direct["rows"])

    # A key of another site.
    async with of_http(blog_key) as client:
        await reads("with another key", client, "blog", blog_events)
        for tool, arguments in [
            ("run_sql", {"sql": COUNT}), ("read_report", {}), ("read_metric_history", {"metric": "events"}),
        ]:
            others = await refused(client, tool, **arguments, site="shop")
            nowhere = await refused(client, tool, **arguments, site="zoo")
            check(f"{tool} of another site", others.replace("shop", "zoo"), nowhere)
        everything = []
        tables = [table["name"] for table in (await call(client, "describe_tables"))["tables"]]
        for tool, arguments in [
            ("list_metrics", {}), ("read_report", {}), ("read_metric_history", {"metric": "events"}),
            ("describe_tables", {}), *[("run_sql", {"sql": f"SELECT * FROM {table}"}) for table in tables],
        ]:
            everything.append(json.dumps(await call(client, tool, **arguments)))
        assert any("blog.example" in text for text in everything), "its own events are among them"
        sites = await call(client, "run_sql", sql="SELECT DISTINCT site_id FROM events UNION SELECT DISTINCT site_id FROM reports")
        check("the sites there are", sites["rows"], [["blog"]])
        assert not any("shop.example" in text or "of-shop" in text for text in everything), "nothing is of the other site"
        await refused(client, "run_sql", sql="EXPLAIN SELECT * FROM events")

    # Keys that are none.
    for key in ("dpr_" + "0" * 40, "wrong", shop_key[:-1]):
        try:
            get("/mcp", key, b"{}")
            raise AssertionError(f"{key} opens /mcp")
        except urllib.error.HTTPError as error:
            check("a key that is none", error.code, 401)
        try:
            async with of_http(key) as client:
                await client.list_tools()
        except BaseException:
            continue
        raise AssertionError(f"a client with {key} lists tools")
    print("well")


asyncio.run(main())
