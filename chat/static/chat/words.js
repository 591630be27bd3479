/** What the page says to people. No state, no DOM: tested by itself. */

import { failureWords as commonWords } from "../events/words.js";

export { connectionWords, durationWords } from "../events/words.js";

/** @typedef {import("../events/words.js").Said} Said */

const ANSWER_ERRORS = new Map([
  ["producer_stale", "The process that wrote this answer has gone away."],
]);

/**
 * A request that failed, for good.
 * @param {import("../events/stream.js").StateDetail} detail
 * @returns {Said}
 */
export function failureWords(detail) {
  const said = commonWords(detail);
  if (detail.reason === "not_found") return { ...said, words: "This conversation does not exist any more, or it is not yours." };
  return said;
}

/**
 * Why an answer ended early.
 * @param {{code?: string, message?: string, error?: string}|string|null} error  as in the `error` frame, or a message's `error`
 * @param {boolean} hasText
 */
export function answerErrorWords(error, hasText) {
  const code = typeof error === "object" ? (error?.code ?? "") : "";
  const said = typeof error === "string" ? error : (error?.message ?? error?.error ?? "");
  const why = ANSWER_ERRORS.get(code) ?? (said || "The answer could not be finished.");
  return hasText ? `${why} What had arrived is kept.` : why;
}

/** @param {string|null} engine  alias in CHAT_ENGINES; null: none can answer */
export function engineWords(engine) {
  if (engine === null || engine === "none") return "No engine is configured, so nothing can answer yet: see CHAT_ENGINE and OPENAI_BASE_URL.";
  if (engine === "local") return "Answered by the small offline model; it makes mistakes.";
  if (engine === "extractive") return "Answered without a language model, by quoting.";
  if (engine === "scripted") return "Answered by the scripted engine, for tests.";
  return "Answers can be wrong.";
}

/** @param {string} name @param {string} status  of the call */
export function toolWords(name, status) {
  const tool = name || "a tool";
  if (status === "completed") return `Used ${tool}`;
  if (status === "denied") return `${name || "A tool"} was not called`;
  return status === "error" ? `${name || "A tool"} did not work` : `Using ${tool}`;
}

const RUNNING = new Map([
  ["queued", "Waiting for its turn…"],
  ["running", "Answering…"],
  ["awaiting_approval", "Waiting for an approval"],
  ["stopping", "Stopping…"],
  ["sending", "Sending…"],
]);

/** @param {string|null} status  of a run, or "sending", "stopping" */
export function statusWords(status) {
  if (status === "cancelled") return "Stopped.";
  return RUNNING.get(status ?? "") ?? "";
}

/** @param {string[]} names  who is typing now */
export function typingWords(names) {
  if (names.length === 0) return "";
  if (names.length === 1) return `${names[0]} is typing…`;
  return names.length === 2 ? `${names[0]} and ${names[1]} are typing…` : "Several people are typing…";
}

/** @param {string|null} status */
export function isRunning(status) {
  return status === "queued" || status === "running" || status === "awaiting_approval";
}
