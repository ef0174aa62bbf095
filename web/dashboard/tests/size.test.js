// @ts-check
// What a browser loads before the first numbers are on the screen, and what each part adds when it is opened.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

const DIST = new URL("../../dist/dashboard/", import.meta.url);
const names = readdirSync(DIST).filter((name) => !/\.(br|gz)$/.test(name));
const text = (/** @type {string} */ name) => readFileSync(new URL(name, DIST), "utf8");
const gzipped = (/** @type {Iterable<string>} */ files) => [...files].reduce((sum, name) => sum + gzipSync(text(name), { level: 9 }).length, 0);
const named = (/** @type {string} */ start) => names.filter((name) => name.startsWith(start) && name.endsWith(".js"));

/** A script and all that it imports at once. @param {string} name @param {Set<string>} [found] */
function withImports(name, found = new Set()) {
  if (found.has(name)) return found;
  found.add(name);
  for (const [, imported] of text(name).matchAll(/(?:from|import)\s*"\.\/([^"]+\.js)"/g)) withImports(imported, found);
  return found;
}

const page = text("index.html");
const [script] = /[^/]+\.js(?="><\/script>)/.exec(page) ?? [];
const [style] = /[^/]+\.css/.exec(page) ?? [];
assert.ok(script && style);
const first = withImports(script).add(style);

test("the first view is at most 80 kB gzipped, in English and in German", () => {
  assert.ok(gzipped(first) <= 80_000, `${gzipped(first)}`);
  const german = new Set([...first, ...withImports(named("de-")[0])]);
  assert.ok(gzipped(german) <= 80_000, `${gzipped(german)}`);
});

test("the map adds at most 50 kB, and SQL at most 130 kB", () => {
  /** @param {string[]} entries */
  const added = (...entries) => gzipped([...entries.reduce((all, name) => withImports(name, all), new Set(/** @type {string[]} */ ([])))].filter((name) => !first.has(name)));
  const shapes = names.filter((name) => name.endsWith(".json"));
  assert.equal(shapes.length, 1);
  const map = added(...named("world_map-")) + gzipped(shapes);
  assert.ok(map <= 50_000, `${map}`);
  const sql = added(...named("sql-"), ...named("editor-"));
  assert.ok(sql <= 130_000, `${sql}`);
});

test("the first view loads neither the map nor the editor", () => {
  for (const name of [...named("world_map-"), ...named("editor-"), ...named("sql-")]) assert.ok(!first.has(name), name);
});

test("every packed file is its original, and smaller", async () => {
  const { brotliDecompressSync, gunzipSync } = await import("node:zlib");
  const packed = readdirSync(DIST).filter((name) => /\.(br|gz)$/.test(name));
  assert.ok(packed.length > 10);
  for (const name of packed) {
    const bytes = readFileSync(new URL(name, DIST));
    const original = readFileSync(new URL(name.replace(/\.(br|gz)$/, ""), DIST));
    assert.ok(bytes.length < original.length, name);
    assert.ok((name.endsWith(".br") ? brotliDecompressSync : gunzipSync)(bytes).equals(original), name);
  }
});

test("nothing comes from elsewhere, and no script is made of text", () => {
  for (const name of names) {
    const content = text(name);
    assert.doesNotMatch(content, /new Function\(|[^.\w]eval\(/, name);
    assert.doesNotMatch(content, /(?:src|href)="https?:/, name);
  }
});
