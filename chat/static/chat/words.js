/** What the page says to people. No state, no DOM: tested by itself. */

/** @typedef {{kind: string, words: string, canRetry: boolean, needsLogin: boolean}} Said */

const FAILURES = new Map([
  ["unauthorized", "You are signed out. Log in again; what you typed is kept."],
  ["forbidden", "The server refused this page's request. Reload the page and try again."],
  ["not_found", "This conversation does not exist any more, or it is not yours."],
  ["server_error", "The server had a problem of its own."],
  ["unreachable", "The server cannot be reached. Is the network there?"],
  ["silent", "The server cannot be reached. Is the network there?"],
  ["closed", "The connection was closed before the message was accepted."],
  ["not_a_stream", "Something between this page and the server answered in the server's place."],
]);
const ANSWER_ERRORS = new Map([
  ["producer_stale", "The process that wrote this answer has gone away."],
]);

/**
 * @param {number} ms
 * @returns {string} such as "3 seconds" or "2 minutes"
 */
export function durationWords(ms) {
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  const [count, unit] = seconds < 90 ? [seconds, "second"] : [Math.round(seconds / 60), "minute"];
  return `${count} ${unit}${count === 1 ? "" : "s"}`;
}

/**
 * A request that failed, for good.
 * @param {import("../events/stream.js").StateDetail} detail
 * @returns {Said}
 */
export function failureWords({ reason = "", message = "", retryAfterMs = null }) {
  const needsLogin = reason === "unauthorized";
  const canRetry = !needsLogin && reason !== "not_found";
  if (reason === "busy") {
    const when = retryAfterMs ? ` Try again in ${durationWords(retryAfterMs)}.` : " Try again in a moment.";
    return { kind: reason, words: `${message || "The server is busy."}${when}`, canRetry, needsLogin };
  }
  const words = (reason === "refused" && message) || FAILURES.get(reason) || message || "That did not work.";
  return { kind: reason, words, canRetry, needsLogin };
}

/**
 * The state of a connection.
 * @param {import("../events/stream.js").StreamState} state
 * @param {import("../events/stream.js").StateDetail} detail
 * @returns {{words: string, canRetry: boolean, needsLogin: boolean}}
 */
export function connectionWords(state, detail) {
  if (state === "live" || state === "ended") return { words: "Connected", canRetry: false, needsLogin: false };
  if (state === "connecting") return { words: "Connecting…", canRetry: false, needsLogin: false };
  if (state === "reconnecting") {
    const what = detail.reason === "busy" ? "The server is busy." : "Connection lost; answers go on meanwhile.";
    const when = (detail.delayMs ?? 0) >= 1000 ? `Trying again in ${durationWords(detail.delayMs ?? 0)}.` : "Trying again…";
    return { words: `${what} ${when}`, canRetry: true, needsLogin: false };
  }
  if (detail.reason === "unauthorized") return { words: "You are signed out.", canRetry: false, needsLogin: true };
  return { words: "Not connected. Reload the page to see what is new.", canRetry: false, needsLogin: false };
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

/** @param {string|null} status */
export function isRunning(status) {
  return status === "queued" || status === "running" || status === "awaiting_approval";
}
