// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { backoffMs, judge } from "../src/send.js";

test("only a 202 acknowledges", () => {
  assert.equal(judge(202, 1), "acknowledged");
  for (const status of [200, 204, 302]) assert.equal(judge(status, 1), "kept");
});

test("an answer that will be the same next time is the end of it", () => {
  for (const status of [400, 401, 403, 413]) assert.equal(judge(status, 1), "refused");
});

test("what is too large is halved while there is something to halve", () => {
  assert.equal(judge(413, 2), "halved");
  assert.equal(judge(413, 1), "refused");
});

test("a trouble that passes is waited for", () => {
  for (const status of [0, 404, 408, 429, 500, 503]) assert.equal(judge(status, 50), "kept");
});

test("the pause grows from one second to sixty", () => {
  const almostOne = 1 - Number.EPSILON;
  const pausesS = [0, 1, 2, 5, 6, 7, 2_000].map((failures) => Math.round(backoffMs(failures, almostOne, 0) / 1_000));
  assert.deepEqual(pausesS, [1, 2, 4, 32, 60, 60, 60]);
});

test("the pause is anything below that", () => {
  assert.equal(backoffMs(3, 0, 0), 0);
  assert.equal(backoffMs(3, 0.5, 0), 4_000);
});

test("the collector may ask for a longer pause, up to an hour", () => {
  assert.equal(backoffMs(0, 0.5, 7), 7_000);
  assert.equal(backoffMs(0, 0.5, 1e9), 3_600_000);
  assert.equal(backoffMs(0, 0.5, NaN), 500);
});
