import assert from "node:assert/strict";
import { test } from "node:test";

import { noticeOf } from "../../../static/events/notable.js";

const event = (type, payload, id = "5-0") => ({ type, payload, id, ts: "2026-01-02T03:04:05.678Z", scope: {}, user_id: "u", topic: "user:u" });

test("an answer that has ended is a notice that leads to its conversation", () => {
  const notice = noticeOf(event("message.finished", { conversation_id: "c 1", message_id: "m", status: "completed" }));
  assert.deepEqual(notice, { id: "5-0", at: Date.UTC(2026, 0, 2, 3, 4, 5, 678), title: "An answer is complete", text: "", href: "/?c=c%201", tone: "good" });
  assert.equal(noticeOf(event("message.finished", { status: "failed" })).tone, "bad");
});

test("what the user did, and what is only on its way, is none", () => {
  for (const [type, payload] of [
    ["message.started", {}],
    ["message.finished", { status: "cancelled" }],
    ["source.ingest.queued", {}],
    ["source.ingest.progress", { current: 5 }],
    ["source.ingest.failed", { cancelled: true, error: "Cancelled." }],
    ["some.thing", {}],
    ["some.thing", null],
  ])
    assert.equal(noticeOf(event(type, payload)), null, type);
});

test("what is told again without an id is none", () => {
  assert.equal(noticeOf(event("demo", { title: "Hello" }, null)), null);
});

test("a source that was not taken in says why", () => {
  const notice = noticeOf(event("source.ingest.failed", { filename: "a.pdf", error: "It is protected by a password. Save it without one." }));
  assert.equal(notice.text, "“a.pdf”: It is protected by a password. Save it without one.");
  assert.equal(notice.href, "/sources");
});

test("other services' events are notices when they bring words", () => {
  assert.equal(noticeOf(event("build.done", { message: "Green" })).title, "build.done");
  assert.equal(noticeOf(event("build.done", { message: "Green" })).text, "Green");
  assert.equal(noticeOf(event("build.done", { title: "Build", text: "Green" })).title, "Build");
  assert.equal(noticeOf(event("build.done", { title: "x".repeat(1000) })).title.length, 240);
  assert.equal(noticeOf(event("constructor", { title: "Not one of ours" })).title, "Not one of ours");
});

test("a notice leads only to this server", () => {
  for (const href of ["https://elsewhere.example/", "//elsewhere.example", "/\\elsewhere.example", "javascript:alert(1)", "/a b", "", 7, null])
    assert.equal(noticeOf(event("demo", { title: "t", href })).href, "", String(href));
  assert.equal(noticeOf(event("demo", { title: "t", href: "/sources?x=1#y" })).href, "/sources?x=1#y");
});
