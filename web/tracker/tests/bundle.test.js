// @ts-check
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

const bundle = readFileSync(new URL("../../dist/tracker.js", import.meta.url), "utf8");

test("the bundle is under 4 096 bytes gzipped, with a config of usual size in it too", () => {
  const config = '{"site":"shop-of-average-name","cookie":true}';
  for (const script of [bundle, bundle.replace('"__DEWPOND_CONFIG__"', config)]) {
    // Level 6 is what servers take.
    assert.ok(gzipSync(script, { level: 6 }).length < 4_096);
  }
});

test("the bundle has one place for a config", () => {
  assert.equal(bundle.split('"__DEWPOND_CONFIG__"').length, 2);
  assert.equal(bundle.split("__DEWPOND_CONFIG__").length, 2);
});

test("the bundle is what the sources give", () => {
  execFileSync(process.execPath, [fileURLToPath(new URL("../../build.js", import.meta.url)), "--check"]);
});
