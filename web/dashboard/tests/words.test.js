// @ts-check
// Every text of the pages has its German one, with the same places for values.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const SRC = new URL("../src/", import.meta.url);
const files = readdirSync(SRC, { recursive: true }).map(String).filter((name) => /\.tsx?$/.test(name) && !name.includes("words"));

/** @returns {Promise<Record<string, string>>} */
async function german() {
  const { outputFiles } = await build({ entryPoints: [fileURLToPath(new URL("words/de.ts", SRC))], bundle: true, format: "esm", write: false });
  return (await import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`)).words;
}

/** Texts that the sources hand to `t`, as they stand there. */
function texts() {
  const found = new Set();
  for (const name of files) {
    const source = readFileSync(new URL(name, SRC), "utf8");
    for (const [, text] of source.matchAll(/\bt\(\s*"((?:[^"\\]|\\.)*)"/g)) found.add(JSON.parse(`"${text}"`));
    for (const [, , yes, no] of source.matchAll(/\bt\((\w+ \? )("[^"]+") : ("[^"]+")\)/g)) found.add(JSON.parse(yes)).add(JSON.parse(no));
    // Titles in tables, which are handed to `t` where they are shown.
    for (const [, text] of source.matchAll(/\btitle: "([^"]+)"/g)) found.add(text);
    for (const [, text] of source.matchAll(/\btab\("\w+", "([^"]+)"/g)) found.add(text);
  }
  return [...found];
}

test("every text has a German one", async () => {
  const words = await german();
  const missing = texts().filter((text) => !(text in words));
  assert.deepEqual(missing, []);
});

test("a German text has the places of the English one", async () => {
  const places = (/** @type {string} */ text) => (text.match(/\{\w+\}/g) ?? []).sort();
  for (const [english, text] of Object.entries(await german())) assert.deepEqual(places(text), places(english), english);
});
