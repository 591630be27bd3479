import assert from "node:assert/strict";
import { test } from "node:test";

import { backOff, parseRetryAfter } from "../../../static/events/pauses.js";

test("back-off doubles, has a ceiling, and is random over its whole length", () => {
  assert.deepEqual([1, 2, 3, 4, 50].map((n) => backOff(n, 1000, 8000, () => 1)), [1000, 2000, 4000, 8000, 8000]);
  assert.deepEqual([1, 2].map((n) => backOff(n, 1000, 8000, () => 0)), [0, 0]);
  assert.deepEqual([1, 2].map((n) => backOff(n, 1000, 8000, () => 0.5)), [500, 1000]);
});

test("Retry-After is seconds or a date", () => {
  assert.equal(parseRetryAfter("3"), 3000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 4000), 6000);
  assert.equal(parseRetryAfter("Thu, 01 Jan 1970 00:00:10 GMT", 40_000), 0);
  assert.equal(parseRetryAfter("soon"), null);
  assert.equal(parseRetryAfter(null), null);
});
