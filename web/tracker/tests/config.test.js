// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { readConfig, scriptOptions } from "../src/config.js";

const ORIGIN = "https://shop.example";

test("without options everything has its default", () => {
  assert.deepEqual(readConfig({}, ORIGIN), {
    site: undefined,
    key: undefined,
    url: "https://shop.example/v1/events",
    dwellMs: 0,
    pingMs: 10_000,
    auto: true,
    consent: false,
    respectGpc: false,
    cookie: false,
    debug: false,
  });
});

test("off, false and a false boolean switch off", () => {
  for (const off of ["off", "false", false]) {
    const config = readConfig({ pings: off, auto: off, cookie: off }, ORIGIN);
    assert.deepEqual([config.pingMs, config.auto, config.cookie], [0, false, false]);
  }
});

test("an attribute without a value switches on", () => {
  assert.equal(readConfig({ respectGpc: "" }, ORIGIN).respectGpc, true);
});

test("numbers may be text, and text that is no number counts as not given", () => {
  assert.deepEqual(readConfig({ dwellMs: "1000", pingS: "0.5" }, ORIGIN).pingMs, 500);
  assert.deepEqual(readConfig({ dwellMs: "1000" }, ORIGIN).dwellMs, 1_000);
  assert.deepEqual(readConfig({ dwellMs: "soon", pingS: "often" }, ORIGIN).pingMs, 10_000);
});

test("an endpoint may end in a slash", () => {
  assert.equal(readConfig({ endpoint: "https://e.example/" }, ORIGIN).url, "https://e.example/v1/events");
});

test("the place for a config counts as none while it is empty", () => {
  const config = readConfig(scriptOptions("__DEWPOND_CONFIG__", "https://e.example/tracker.js", {}), ORIGIN);
  assert.deepEqual(config, { ...readConfig({}, ORIGIN), url: "https://e.example/v1/events" });
});

test("an attribute wins over the script's address, and that over what the collector wrote", () => {
  const baked = { site: "baked", cookie: true, pings: "off" };
  const options = scriptOptions(baked, "https://e.example/tracker.js?site=query&pings=on", { site: "data" });
  const config = readConfig(options, ORIGIN);
  assert.deepEqual([config.site, config.pingMs, config.cookie], ["data", 10_000, true]);
});

test("a script without an address sends to the origin of the page", () => {
  assert.equal(readConfig(scriptOptions({}, "", {}), ORIGIN).url, "https://shop.example/v1/events");
});
