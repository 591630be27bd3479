import assert from "node:assert/strict";
import { test } from "node:test";

import { answerErrorWords, connectionWords, durationWords, engineWords, failureWords, isRunning, statusWords, typingWords } from "../../../static/chat/words.js";

test("durations are said in words", () => {
  assert.deepEqual([0, 1, 1000, 1001, 89_000, 90_000, 150_000].map(durationWords), [
    "1 second",
    "1 second",
    "1 second",
    "2 seconds",
    "89 seconds",
    "2 minutes",
    "3 minutes",
  ]);
});

test("every reason has words, and says whether trying again makes sense", () => {
  for (const reason of ["unauthorized", "forbidden", "not_found", "server_error", "unreachable", "silent", "closed", "not_a_stream", "busy", "refused", "new"]) {
    const said = failureWords({ reason });
    assert.match(said.words, /^[A-Z].*[.?]$/, reason);
    assert.equal(said.needsLogin, reason === "unauthorized");
    assert.equal(said.canRetry, !["unauthorized", "not_found"].includes(reason));
  }
});

test("the server's own words are passed on where they help", () => {
  assert.equal(failureWords({ reason: "refused", message: "The question is empty." }).words, "The question is empty.");
  assert.equal(failureWords({ reason: "busy", message: "20 answers are running.", retryAfterMs: 5000 }).words, "20 answers are running. Try again in 5 seconds.");
});

test("every state of a connection has words", () => {
  assert.equal(connectionWords("live", {}).words, "Connected");
  assert.equal(connectionWords("reconnecting", { reason: "unreachable", delayMs: 3000 }).words, "Connection lost; answers go on meanwhile. Trying again in 3 seconds.");
  assert.equal(connectionWords("reconnecting", { reason: "busy", delayMs: 0 }).words, "The server is busy. Trying again…");
  assert.deepEqual(connectionWords("failed", { reason: "unauthorized" }), { words: "You are signed out.", canRetry: false, needsLogin: true });
  assert.equal(connectionWords("reconnecting", {}).canRetry, true);
});

test("a failed answer says why, and that its text is kept when there is any", () => {
  assert.equal(answerErrorWords({ code: "x", message: "Overloaded." }, true), "Overloaded. What had arrived is kept.");
  assert.equal(answerErrorWords({ code: "producer_stale", message: "stale" }, false), "The process that wrote this answer has gone away.");
  assert.equal(answerErrorWords({ code: "constructor", message: "Odd." }, false), "Odd.");
  assert.equal(answerErrorWords(null, false), "The answer could not be finished.");
});

test("no engine is said, with what to do", () => {
  for (const none of [null, "none"]) assert.match(engineWords(none), /CHAT_ENGINE/);
  assert.notEqual(engineWords("openai"), engineWords(null));
});

test("what runs is said to run", () => {
  assert.deepEqual(["queued", "running", "awaiting_approval", "completed", "failed", "cancelled", null].map(isRunning), [true, true, true, false, false, false, false]);
  for (const status of ["queued", "running", "awaiting_approval", "sending", "stopping", "cancelled"]) assert.notEqual(statusWords(status), "");
  for (const status of ["completed", "failed", null]) assert.equal(statusWords(status), "");
});

test("who is typing is said of one, of two, and of more without their names", () => {
  assert.deepEqual([[], ["alice"], ["alice", "bob"], ["a", "b", "c"]].map(typingWords), ["", "alice is typing…", "alice and bob are typing…", "Several people are typing…"]);
});

test("what a proxy refuses as too large is said in our words, what the server refuses in its own", () => {
  assert.match(failureWords({ reason: "refused", status: 413 }).words, /a proxy in front of it/);
  assert.equal(failureWords({ reason: "refused", status: 413, message: "At most 64 MiB." }).words, "At most 64 MiB.");
});
