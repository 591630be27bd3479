import assert from "node:assert/strict";
import { test } from "node:test";

import { changeOf, isOpen, sizeWords, stateWords } from "../../../static/knowledge/words.js";

const source = (fields) => ({ id: "s", name: "a.txt", status: "ready", error: "", searchable: true, percent: 0, chunks: 3, owner: "u", created_at: "", updated_at: "", ...fields });
const event = (step, payload = {}) => ({ type: `source.ingest.${step}`, scope: { kind: "source", id: "s" }, payload });

test("each state of a source is said in words", () => {
  assert.equal(stateWords(source({ status: "queued" })), "Waiting for its turn…");
  assert.equal(stateWords(source({ status: "processing" })), "Being taken in…");
  assert.equal(stateWords(source({ status: "processing", percent: 41.6, stage: "embedding" })), "Being indexed: 42 %");
  assert.equal(stateWords(source({ chunks: 1 })), "Ready, 1 passage");
  assert.equal(stateWords(source({ chunks: 0 })), "Ready, but there is no text in it");
  assert.equal(stateWords(source({ status: "failed", searchable: false })), "Not taken in.");
  assert.equal(stateWords(source({ status: "cancelled" })), "Cancelled. What was taken in before, 3 passages, can still be searched.");
});

test("the feed tells how far a source is", () => {
  assert.deepEqual(changeOf(event("progress", { current: 30, total: 60, stage: "embedding" })), {
    id: "s",
    change: { status: "processing", percent: 50, stage: "embedding" },
    isEnd: false,
  });
  assert.deepEqual(changeOf(event("completed")).change, { status: "ready", percent: 100, error: "" });
  assert.deepEqual(changeOf(event("failed", { error: "Split it." })).change, { status: "failed", error: "Split it." });
  assert.equal(changeOf(event("failed", { error: "Cancelled.", cancelled: true })).change.status, "cancelled");
});

test("events about something else change no source", () => {
  assert.equal(changeOf({ type: "message.finished", scope: {}, payload: {} }), null);
  assert.equal(changeOf({ type: "attachment.failed", scope: { kind: "attachment", id: "s" }, payload: {} }), null);
  assert.equal(changeOf({ type: "source.shared", scope: { kind: "source", id: "s" }, payload: {} }), null);
});

test("what is open can be cancelled", () => {
  assert.deepEqual(["queued", "processing", "ready", "failed", "cancelled"].map((status) => isOpen({ status })), [true, true, false, false, false]);
});

test("sizes are said as people say them", () => {
  assert.deepEqual([5, 2048, 3 << 19, 67108864].map(sizeWords), ["5 bytes", "2 KB", "1.5 MB", "64 MB"]);
});
