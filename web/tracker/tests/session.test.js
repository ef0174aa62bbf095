// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { nextSession } from "../src/session.js";

test("the first event opens a session", () => {
  check(null, 1_000, "new 1000");
});

test("a pause of exactly thirty minutes stays in the session", () => {
  check("old 1000", 1_801_000, "old 1801000");
});

test("a longer pause opens a new session", () => {
  check("old 1000", 1_801_001, "new 1801001");
});

test("a clock that was set back does not end a session", () => {
  check("old 5000", 1_000, "old 1000");
});

test("what somebody else has stored there opens a new session", () => {
  check("nonsense", 1_000, "new 1000");
});

/** @param {string | null} stored @param {number} nowMs @param {string} expected */
function check(stored, nowMs, expected) {
  assert.equal(
    nextSession(stored, nowMs, () => "new"),
    expected,
  );
}
