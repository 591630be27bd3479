/** What the page of plugins knows of an execution, and says of it. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Record } from "../../../static/plugins/record.js";
import { lineOf, tookWords, valueText } from "../../../static/plugins/words.js";

const at = (seq, type, data) => ({ type, seq, data, timestamp: "2026-01-01T00:00:00.000Z" });

test("frames are taken once, whatever is told again", () => {
  const record = new Record();
  record.take({ type: "execution_info", data: { status: "pending" } });
  assert.equal(record.take({ type: "debug_data", data: { events: [at(1, "log", {}), at(2, "log", {})] } }).length, 2);
  assert.equal(record.take(at(2, "log", {})).length, 0);
  assert.equal(record.take(at(3, "log", {})).length, 1);
  assert.equal(record.seq, 3);
  assert.equal(record.status, "running");
});

test("steps are nested and end", () => {
  const record = new Record();
  record.take(at(1, "step", { name: "outer", status: "started", step_id: "a" }));
  record.take(at(2, "step", { name: "inner", status: "started", step_id: "b", parent_id: "a" }));
  record.take(at(3, "step", { name: "inner", status: "failed", step_id: "b", error: "No." }));
  assert.deepEqual(
    [...record.steps.values()].map(({ name, status, depth, error }) => [name, status, depth, error]),
    [
      ["outer", "started", 0, ""],
      ["inner", "failed", 1, "No."],
    ],
  );
});

test("a variable has its last value", () => {
  const record = new Record();
  record.take(at(1, "variable", { name: "x", value: 1 }));
  record.take(at(2, "variable", { name: "x", value: [2] }));
  assert.deepEqual([...record.variables], [["x", [2]]]);
});

test("how it ended", () => {
  for (const [frame, status] of [
    [at(1, "execution_complete", { result: 1 }), "completed"],
    [at(1, "execution_error", { error: "x" }), "failed"],
    [at(1, "execution_error", { error: "x", unknown: true }), "unknown"],
  ]) {
    const record = new Record();
    record.take(frame);
    assert.equal(record.status, status);
    // The description that a new connection brings may be older.
    record.take({ type: "execution_info", data: { status: "running" } });
    assert.equal(record.status, status);
  }
});

test("lines say what happened", () => {
  assert.deepEqual(lineOf(at(1, "log", { message: "hello", level: "warning" })), { kind: "log", level: "warning", words: "hello" });
  assert.equal(lineOf(at(1, "api_call", { method: "GET", url: "https://x/", status: 500, duration_ms: 12.4 })).words, "GET https://x/ 500 12 ms");
  assert.equal(lineOf(at(1, "api_call", { url: "https://x/", status: 500 })).level, "error");
  assert.equal(lineOf(at(1, "step", { name: "parse", status: "failed", error: "No." })).words, "parse · failed · No.");
  assert.equal(lineOf(at(1, "variable", { name: "x", value: { a: 1 } })).words.replaceAll(" ", ""), 'x={"a":1}');
  for (const type of ["log", "step", "variable", "api_call", "trace", "execution_error", "new"]) assert.equal(typeof lineOf({ type, seq: 1 }).words, "string");
});

test("values and times in words", () => {
  assert.equal(valueText("x"), "x");
  assert.equal(valueText(undefined), "");
  assert.equal(tookWords(undefined), "");
  assert.equal(tookWords(1234), "1.2 s");
});
