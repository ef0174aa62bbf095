// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildEvent, writeEvent } from "../src/event.js";
import { markedProperties } from "../src/mark.js";
import { uuidV7 } from "../src/uuid.js";

const PLACE = {
  url: "https://shop.example/hats",
  referrer: "",
  title: "Hats",
  language: "en",
  screen: "1920x1080",
  viewport: "800x600",
};

test("an event says what, when and where", () => {
  const event = buildEvent("id-1", 0, "purchase", { hats: 2 }, { revenue: 19.9, currency: "EUR", object: "cart" }, PLACE);
  assert.deepEqual(event, {
    event_id: "id-1",
    name: "purchase",
    timestamp: "1970-01-01T00:00:00.000Z",
    ...PLACE,
    object: "cart",
    revenue: 19.9,
    currency: "EUR",
    sdk: "dewpond-web/1.0",
    properties: { hats: 2 },
  });
});

test("fields without a value are not written", () => {
  const text = writeEvent(buildEvent("id-1", 0, "search", undefined, undefined, PLACE));
  assert.doesNotMatch(text, /revenue|currency|object|user_id/);
});

test("the page may change its properties afterwards", () => {
  const properties = { step: 1 };
  const event = buildEvent("id-1", 0, "checkout", properties, undefined, PLACE);
  properties.step = 2;
  assert.deepEqual(event.properties, { step: 1 });
});

test("properties that are no object become one", () => {
  for (const wrong of [null, 7, true]) {
    assert.deepEqual(buildEvent("id-1", 0, "x", /** @type {any} */ (wrong), undefined, PLACE).properties, {});
  }
});

test("a text is shortened to what the collector takes", () => {
  const long = "x".repeat(5_000);
  const event = buildEvent("id-1", 0, long, {}, { object: long }, { ...PLACE, url: long, title: long, referrer: long });
  const lengths = [event.name, event.object, event.url, event.title, event.referrer].map((text) => text?.length);
  assert.deepEqual(lengths, [200, 512, 4_096, 4_096, 4_096]);
});

test("half of a character is replaced, a whole one is kept", () => {
  const text = writeEvent(buildEvent("id-1", 0, "x", { half: "\ud83d", whole: "🎩" }, undefined, PLACE));
  assert.deepEqual(JSON.parse(text).properties, { half: "\ufffd", whole: "🎩" });
});

test("marked properties are those with the prefix, without it", () => {
  const attributes = [
    { name: "class", value: "card" },
    { name: "data-dewpond-click", value: "buy" },
    { name: "data-dewpond-prop-product_id", value: "7" },
  ];
  assert.deepEqual(markedProperties(attributes), { product_id: "7" });
});

test("an id is a UUID of version 7 and variant 1 that begins with the time", () => {
  assert.equal(uuidV7(0x0192_f00d_cafe, new Uint8Array(10)), "0192f00d-cafe-7000-8000-000000000000");
  assert.equal(uuidV7(0x0192_f00d_cafe, new Uint8Array(10).fill(255)), "0192f00d-cafe-7fff-bfff-ffffffffffff");
});

test("ids sort by time", () => {
  const ids = [9, 10, 255, 256, Date.UTC(2026, 0)].map((ms) => uuidV7(ms, new Uint8Array(10).fill(ms % 256)));
  assert.deepEqual([...ids].sort(), ids);
});
