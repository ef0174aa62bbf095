// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { openQueue, overflow, sizeBytes, takeBatch } from "../src/queue.js";
import { openStore } from "../src/store.js";

test("a batch is as many events as are allowed", () => {
  checkBatch("a:10 b:10 c:10", { events: 2, bytes: 1_000 }, "a b");
});

test("a batch is as many bytes as are allowed, commas counted", () => {
  checkBatch("a:10 b:10 c:10", { events: 50, bytes: 22 }, "a b");
  checkBatch("a:10 b:10 c:10", { events: 50, bytes: 21 }, "a");
});

test("everything is one batch if it fits", () => {
  checkBatch("a:10 b:10", { events: 2, bytes: 22 }, "a b");
  checkBatch("", { events: 2, bytes: 22 }, "");
});

test("a small event does not overtake a large one", () => {
  checkBatch("a:10 b:100 c:10", { events: 50, bytes: 50 }, "a");
});

test("bytes are bytes, not characters", () => {
  assert.equal(sizeBytes("hät🎩"), 8);
});

test("nothing is dropped within the limits", () => {
  checkOverflow("a:10 ping-b:60", { events: 2, chars: 70 }, "");
});

test("the oldest ping is dropped first", () => {
  checkOverflow("a:10 ping-b:60 c:10 ping-d:60", { events: 3, chars: 1_000 }, "ping-b");
});

test("when there are no more pings the oldest event is dropped", () => {
  checkOverflow("a:10 ping-b:60 c:10 d:10", { events: 2, chars: 1_000 }, "ping-b a");
});

test("too many characters are too much as well", () => {
  checkOverflow("a:100 b:100 c:100", { events: 50, chars: 250 }, "a");
});

test("a thousand events and half a million characters are kept", () => {
  const entries = Array.from({ length: 1_001 }, (_, index) => ({ id: `${index}`, text: "x".repeat(499) }));
  assert.deepEqual(overflow(entries), [entries[0]]);
  assert.deepEqual(overflow([{ id: "a", text: "x".repeat(300_000) }, { id: "b", text: "x".repeat(200_001) }]).length, 1);
});

test("an event stays until it is removed, in the order of time", () => {
  const storage = fakeStorage();
  const queue = openQueue(openStore(() => storage), "shop");
  queue.add({ id: "2", text: "{}" });
  queue.add({ id: "1", text: "{}" });
  assert.deepEqual(queue.list().map(({ id }) => id), ["1", "2"]);
  queue.remove([{ id: "1", text: "{}" }]);
  assert.deepEqual(queue.list().map(({ id }) => id), ["2"]);
});

test("two pages that share a storage see each other's events, and removing one's own leaves the other's", () => {
  const storage = fakeStorage();
  const [one, other] = [0, 1].map(() => openQueue(openStore(() => storage), "shop"));
  one.add({ id: "1", text: "{}" });
  const sentByOne = one.list();
  other.add({ id: "2", text: "{}" });
  one.remove(sentByOne);
  assert.deepEqual(one.list().map(({ id }) => id), ["2"]);
});

test("two sites that share a storage do not see each other's events", () => {
  const storage = fakeStorage();
  openQueue(openStore(() => storage), "shop").add({ id: "1", text: "{}" });
  assert.deepEqual(openQueue(openStore(() => storage), "blog").list(), []);
});

test("a denied storage is replaced by memory", () => {
  const store = openStore(() => {
    throw new Error("denied");
  });
  store.set("key", "text");
  assert.deepEqual([store.get("key"), store.keys(), store.get("other")], ["text", ["key"], null]);
  store.remove("key");
  assert.deepEqual(store.keys(), []);
});

test("what a full storage does not take is kept in memory", () => {
  const storage = fakeStorage();
  storage.setItem("old", "text");
  Object.getPrototypeOf(storage).setItem = () => {
    throw new Error("full");
  };
  const store = openStore(() => storage);
  store.set("new", "text");
  assert.deepEqual(store.keys(), ["old", "new"]);
});

/**
 * Takes a batch from entries written as `id:chars …` and compares with ids. @param {string} entries
 * @param {{ events: number, bytes: number }} limits @param {string} expected
 */
function checkBatch(entries, { events, bytes }, expected) {
  assert.equal(ids(takeBatch(read(entries), events, bytes)), expected);
}

/** Likewise for what is dropped. @param {string} entries @param {{ events: number, chars: number }} limits @param {string} expected */
function checkOverflow(entries, { events, chars }, expected) {
  assert.equal(ids(overflow(read(entries), events, chars)), expected);
}

/** @param {string} entries */
function read(entries) {
  return entries.split(" ").filter(Boolean).map((entry) => {
    const [id, chars] = entry.split(":");
    return { id, text: (id.startsWith("ping") ? '"name":"page_ping"' : "").padEnd(Number(chars)) };
  });
}

/** @param {{ id: string }[]} entries */
function ids(entries) {
  return entries.map(({ id }) => id).join(" ");
}

/** A storage whose keys are its own properties, as a browser's are. */
function fakeStorage() {
  /** @type {any} */
  const methods = {
    /** @this {Record<string, string>} @param {string} key */
    getItem(key) {
      return Object.hasOwn(this, key) ? this[key] : null;
    },
    /** @this {Record<string, string>} @param {string} key @param {string} text */
    setItem(key, text) {
      this[key] = text;
    },
    /** @this {Record<string, string>} @param {string} key */
    removeItem(key) {
      delete this[key];
    },
  };
  return Object.create(methods);
}
