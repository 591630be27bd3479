import assert from "node:assert/strict";
import { test } from "node:test";

import { AnswerReader, isAnswerEnd } from "../../../static/chat/answer.js";
import { decisionWords } from "../../../static/chat/approvals.js";

class Sink {
  text = "";
  thought = "";
  sources = [];
  tools = [];
  status = "";
  error = null;
  restarts = 0;

  restart() {
    Object.assign(this, { text: "", thought: "", sources: [], tools: [] });
    this.restarts += 1;
  }
  appendText(text) {
    this.text += text;
  }
  appendThought(text) {
    this.thought += text;
  }
  addSources(sources) {
    this.sources.push(...sources);
  }
  addTool(name, status) {
    this.tools.push([name, status]);
  }
  addApprovals(calls) {
    this.approvals = calls;
  }
  setDecision(approvalId, made) {
    this.decision = [approvalId, made.status];
  }
  setStatus(status) {
    this.status = status;
  }
  setError(error) {
    this.error = error;
  }
}

function read(...frames) {
  const sink = new Sink();
  const reader = new AnswerReader(sink);
  frames.forEach(([id, json]) => reader.take({ id, json }));
  return Object.assign(sink, { begun: reader.begun });
}

const BEGIN = ["1", { type: "message_id", message_id: "m", conversation_id: "c" }];

test("every kind of frame reaches its place", () => {
  const seen = read(
    BEGIN,
    ["2", { type: "source", source: [{ title: "a" }] }],
    ["3", { type: "thought", thought: "hm" }],
    ["4", { type: "tool_call", data: { tool_name: "search", status: "pending" } }],
    ["5", { type: "answer", answer: "one " }],
    ["6", { type: "answer", answer: "two" }],
    [null, { type: "id", id: "c" }],
    ["7", { type: "end" }],
  );
  assert.deepEqual(
    [seen.text, seen.thought, seen.sources, seen.tools, seen.status, seen.restarts],
    ["one two", "hm", [{ title: "a" }], [["search", "pending"]], "completed", 0],
  );
  assert.equal(seen.begun.message_id, "m");
});

test("an answer that comes again from its beginning replaces what was there", () => {
  const seen = read(BEGIN, ["2", { type: "answer", answer: "one" }], BEGIN, ["3", { type: "answer", answer: "one two" }]);
  assert.deepEqual([seen.text, seen.restarts], ["one two", 1]);
});

test("a beginning without a number is news about the connection, not about the answer", () => {
  const seen = read(BEGIN, ["2", { type: "answer", answer: "one" }], [null, BEGIN[1]], ["3", { type: "answer", answer: " two" }]);
  assert.deepEqual([seen.text, seen.restarts], ["one two", 0]);
});

test("an answer that asks waits, and a decision alone does not make it run", () => {
  const call = { approval_id: "a", call_id: "c", tool_name: "pay" };
  const asked = [BEGIN, ["2", { type: "tool_calls_pending", data: { pending_tool_calls: [call] } }]];
  const waiting = read(...asked, ["3", { type: "tool_call", data: { approval_id: "a", status: "denied", decision: { status: "denied" } } }]);
  assert.deepEqual([waiting.approvals, waiting.decision, waiting.status], [[call], ["a", "denied"], "awaiting_approval"]);
  assert.equal(read(...asked, ["4", { type: "tool_call", data: { tool_name: "pay", status: "completed" } }]).status, "running");
});

test("a decision is told with who made it", () => {
  const made = { status: "approved", decided_by: "bob", feedback: "", edited: false };
  assert.equal(decisionWords(made), "Approved by bob.");
  assert.equal(decisionWords({ ...made, edited: true }), "Approved with changes by bob.");
  assert.equal(decisionWords({ ...made, status: "denied", feedback: "No" }), "Denied by bob. “No”");
  assert.match(decisionWords({ ...made, status: "expired" }), /in time/);
});

test("stopped and failed answers say so", () => {
  assert.equal(read(BEGIN, ["2", { type: "end", cancelled: true }]).status, "cancelled");
  const failed = read(BEGIN, ["2", { type: "error", error: "Too much.", code: "busy" }]);
  assert.deepEqual([failed.status, failed.error], ["failed", { code: "busy", message: "Too much." }]);
});

test("frames that are unknown or no JSON are passed over", () => {
  assert.equal(read(BEGIN, ["2", { type: "novelty" }], ["3", undefined], ["4", null], ["5", { type: "answer" }]).text, "");
});

test("an answer ends with end or error", () => {
  assert.deepEqual(["end", "error", "answer", "id", "message_id"].map((type) => isAnswerEnd({ json: { type } })), [true, true, false, false, false]);
  assert.equal(isAnswerEnd({ json: undefined }), false);
});
