// @ts-check
// What is pure: addresses, ranges, files.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A module of the sources. @param {string} name @returns {Promise<any>} */
async function load(name) {
  const { outputFiles } = await build({ entryPoints: [fileURLToPath(new URL(`../src/${name}`, import.meta.url))], bundle: true, format: "esm", write: false });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}
const { parseView, formatView, parseFilter, formatFilter, toggleFilter } = await load("view.ts");
const { shiftRange, daysOf, drillDown, dayIn, customRange } = await load("range.ts");
const { toCsv } = await load("csv.ts");
const BASE = "/dashboard/";

test("an address is a view and a view its address", () => {
  for (const address of [
    "/dashboard/",
    "/dashboard/live?site=shop",
    "/dashboard/?site=shop,blog&range=2026-03-01,2026-03-31&compare=none&interval=week&filter=country:is:DE,AT&filter=path:contains:/a&metric=sessions",
    "/dashboard/sessions?range=2026-03-01T10:00:00%2B01:00..2026-03-01T11:00:00%2B01:00&session=-61.177",
  ]) {
    const [path, query = ""] = address.split("?");
    assert.equal(formatView(parseView(path, query, BASE), BASE), address);
  }
});

test("a filter keeps every character of its values", () => {
  for (const values of [["a,b", "c"], ["|"], ["\\"], ["\\,"], [":"], [""], ["ä 中 😀\n"]]) {
    const filter = { dimension: "properties.a b", operator: "is", values };
    assert.deepEqual(parseFilter(formatFilter(filter)), filter);
  }
  assert.equal(parseFilter("path"), undefined);
  assert.equal(parseFilter("path:equals:/"), undefined);
  assert.deepEqual(parseFilter("path:exists"), { dimension: "path", operator: "exists", values: [] });
});

test("a click filters by a value, another by the next one, and the same one no more", () => {
  const de = toggleFilter([], "country", "DE");
  assert.deepEqual(de.map(formatFilter), ["country:is:DE"]);
  assert.deepEqual(toggleFilter(de, "country", "AT").map(formatFilter), ["country:is:AT"]);
  assert.deepEqual(toggleFilter(de, "country", "DE"), []);
  assert.deepEqual(toggleFilter(de, "country", null).map(formatFilter), ["country:exists_not"]);
  const contains = [{ dimension: "path", operator: "contains", values: ["/a"] }];
  assert.deepEqual(toggleFilter(contains, "path", "/a/b").map(formatFilter), ["path:contains:/a", "path:is:/a/b"]);
});

test("the range before and after", () => {
  const today = "2026-03-31"; // a Tuesday
  for (const [range, before, after] of [
    ["today", "yesterday", undefined],
    ["yesterday", "2026-03-29,2026-03-29", "today"],
    ["7d", "2026-03-18,2026-03-24", undefined],
    ["month", "last_month", undefined],
    ["last_month", "2026-01-01,2026-01-31", "month"],
    ["2026-01-01,2026-01-31", "2025-12-01,2025-12-31", "last_month"],
    ["week", "last_week", undefined],
    ["last_week", "2026-03-16,2026-03-22", "week"],
    ["year", "last_year", undefined],
    ["last_year", "2024-01-01,2024-12-31", "year"],
    ["2026-03-10,2026-03-12", "2026-03-07,2026-03-09", "2026-03-13,2026-03-15"],
    ["2026-02-01T10:00:00Z..2026-02-01T11:00:00Z", undefined, undefined],
  ]) {
    assert.equal(shiftRange(range, -1, today), before, `before ${range}`);
    assert.equal(shiftRange(range, 1, today), after, `after ${range}`);
  }
});

test("presets are days of the zone in which somebody counts", () => {
  assert.deepEqual(daysOf("30d", "2026-03-31"), { first: "2026-03-02", last: "2026-03-31" });
  assert.deepEqual(daysOf("12mo", "2026-03-31"), { first: "2025-04-01", last: "2026-03-31" });
  const late = new Date("2026-03-31T22:30:00Z");
  assert.equal(dayIn("Europe/Berlin", late), "2026-04-01");
  assert.equal(dayIn("America/New_York", late), "2026-03-31");
  assert.equal(customRange("2026-03-31", "2026-03-01"), "2026-03-01,2026-03-31");
});

test("a point leads to its day, its week, its hour", () => {
  assert.deepEqual(drillDown("day", "2026-03-29T00:00:00+01:00", "2026-03-30T00:00:00+02:00"), { range: "2026-03-29,2026-03-29", interval: "" });
  assert.deepEqual(drillDown("week", "2026-03-23T00:00:00+01:00", "2026-03-30T00:00:00+02:00"), { range: "2026-03-23,2026-03-29", interval: "" });
  assert.deepEqual(drillDown("month", "2026-03-01T00:00:00+01:00", "2026-03-31T12:34:00+02:00"), { range: "2026-03-01,2026-03-31", interval: "" });
  assert.deepEqual(drillDown("hour", "2026-03-01T10:00:00+01:00", "2026-03-01T11:00:00+01:00"), { range: "2026-03-01T10:00:00+01:00..2026-03-01T11:00:00+01:00", interval: "minute" });
  assert.equal(drillDown("minute", "", ""), undefined);
});

test("a file has quotes where they are needed, and no formulas", () => {
  assert.equal(toCsv(["a", "b"], [["x,y", 1], ["say \"hi\"", null], ["=1+1", -2], ["-1.5", "@cmd"], ["line\nbreak", { a: 1 }]]), 'a,b\r\n"x,y",1\r\n"say ""hi""",\r\n\'=1+1,-2\r\n-1.5,\'@cmd\r\n"line\nbreak","{""a"":1}"\r\n');
});
