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

test("an answer that asks leads to where it is asked, and never says what", () => {
  const calls = [{ name: "pay", approval_id: "a" }, { name: "pay" }, { name: "order" }];
  const notice = noticeOf(event("tool.approval.required", { conversation_id: "c", kind: "tool_call", pending_tool_calls: calls }));
  assert.deepEqual([notice.title, notice.text, notice.href], ["An answer waits for your approval", "It wants to use pay, order.", "/?c=c"]);
  assert.equal(noticeOf(event("tool.approval.required", { conversation_id: "c", href: "/approvals" })).href, "/approvals");
  assert.match(noticeOf(event("tool.approval.required", { reminder: true })).title, /still/);
  assert.equal(noticeOf(event("tool.approval.cleared", { reason: "decided" })), null);
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

test("a notification of the inbox leads where it says, else to the inbox, and never elsewhere", () => {
  const payload = { notification_id: "n", title: "Done", body: "All of it.", action_url: "/sources", priority: "normal" };
  const { title, text, href, tone, inbox } = noticeOf(event("notification.created", payload));
  assert.deepEqual([title, text, href, tone, inbox], ["Done", "All of it.", "/sources", "info", "n"]);
  for (const url of ["", "https://elsewhere.example/", "javascript:alert(1)"])
    assert.equal(noticeOf(event("notification.created", { ...payload, action_url: url })).href, "/notifications", url);
  assert.equal(noticeOf(event("notification.created", { ...payload, priority: "critical" })).tone, "bad");
});

test("a notification of low priority waits in the inbox, and what was done with others is no news", () => {
  assert.equal(noticeOf(event("notification.created", { notification_id: "n", title: "t", priority: "low" })), null);
  assert.equal(noticeOf(event("notification.updated", { action: "read", ids: null, title: "t", counts: {} })), null);
});

test("a notification that another service published without an inbox is a notice like its others", () => {
  assert.equal(noticeOf(event("notification.created", { title: "Hello" })).inbox, undefined);
  assert.equal(noticeOf(event("notification.created", {})), null);
});

test("every type that the server publishes to users has words, or is known to need none", () => {
  const said = (type, payload) => {
    const notice = noticeOf(event(type, payload));
    return notice && [notice.title, notice.text, notice.href, notice.tone];
  };
  assert.equal(said("mcp.oauth.in_progress", { message: "Looking at the server" }), null);
  assert.deepEqual(said("mcp.oauth.awaiting_redirect", { message: "Approve Files.", authorization_url: "https://as.example/" }), [
    ...["A connection waits for your approval", "Approve Files.", "", "info"],
  ]);
  assert.deepEqual(said("mcp.oauth.completed", { tools: [], tools_count: 1 }), ["Connection ready", "It brings 1 tool.", "", "good"]);
  assert.deepEqual(said("mcp.oauth.failed", { error: "Refused." }), ["Connection not made", "Refused.", "", "bad"]);
  assert.deepEqual(said("resource.shared", { resource_type: "source", resource_name: "Rivers", team_name: "Writers" }), [
    ...["“Rivers” is shared with you", "With Writers.", "/sources", "info"],
  ]);
  assert.deepEqual(said("team.member_added", { team_name: "Writers", role: "admin" }), ["You are now in Writers", "As one of its admins.", "", "info"]);
  assert.deepEqual(said("attachment.failed", { filename: "a.pdf", error: "Broken." })?.slice(0, 2), ["Attachment not read", "“a.pdf”: Broken."]);
  for (const type of ["attachment.queued", "attachment.progress", "attachment.completed", "mcp.oauth.in_progress"]) assert.equal(said(type, { message: "m" }), null, type);
});
