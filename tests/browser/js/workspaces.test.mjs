/** What the pages of workspaces say. */

import assert from "node:assert/strict";
import { test } from "node:test";

globalThis.document = { cookie: "", querySelector: () => null };
const { details, hereWords, hue, initials, memberWords, sentence } = await import("../../../static/workspaces/words.js");

const nameOf = (id) => ({ user_a: "Alice" })[id] ?? id;

test("what a member says is told as said, what the server tells as a fact", () => {
  const frame = { type: "document_updated", document_id: "doc-1", action: "edited", user_id: "user_a", origin: "member" };
  assert.equal(sentence(frame, nameOf), "Alice said: the document “doc-1” was edited.");
  assert.equal(sentence({ ...frame, origin: "server", name: "a.md", action: "added" }, nameOf), "The document “a.md” was added by Alice.");
  assert.equal(sentence({ type: "member_removed", member_name: "bob" }, nameOf), "bob is no longer a member.");
  assert.equal(sentence({ type: "build.finished" }, nameOf), "build.finished");
});

test("fields of any type and size make a sentence", () => {
  for (const value of [null, 7, {}, [], "", " ", "x".repeat(1000)]) {
    assert.ok(sentence({ type: "document_updated", document_id: value, action: value, origin: "member" }, nameOf).length < 250);
  }
});

test("what the sentence does not say is shown beside it", () => {
  const frame = { type: "document_updated", id: "1-0", document_id: "d", action: "edited", user_id: "u", origin: "member", timestamp: "", page: 3 };
  assert.deepEqual(JSON.parse(details(frame)), { page: 3 });
  assert.equal(details({ ...frame, page: undefined, type: "member_removed" }), "");
  assert.deepEqual(JSON.parse(details({ type: "build.finished", ok: true })), { ok: true });
});

test("avatars and counts", () => {
  assert.deepEqual(["alice", "Bob Dylan", "x", "", "anna.maria-k"].map(initials), ["AL", "BD", "X", "?", "AK"]);
  assert.ok(hue("user_alice") >= 0 && hue("user_alice") < 360);
  assert.equal(hereWords(1), "Only you are here.");
  assert.equal(hereWords(3), "3 people are here.");
  assert.equal(memberWords(1), "1 member");
});
