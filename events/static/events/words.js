/** What every page says to people about requests and connections. No state, no DOM: tested by itself. */

/** @typedef {{kind: string, words: string, canRetry: boolean, needsLogin: boolean}} Said */

const FAILURES = new Map([
  ["unauthorized", "You are signed out. Log in again; what you typed is kept."],
  ["forbidden", "The server refused this page's request. Reload the page and try again."],
  ["not_found", "It does not exist any more, or it is not yours."],
  ["server_error", "The server had a problem of its own."],
  ["unreachable", "The server cannot be reached. Is the network there?"],
  ["silent", "The server cannot be reached. Is the network there?"],
  ["closed", "The connection was closed before the server had accepted it."],
  ["not_a_stream", "Something between this page and the server answered in the server's place."],
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
 * @param {import("./stream.js").StateDetail} detail
 * @returns {Said}
 */
export function failureWords({ reason = "", status, message = "", retryAfterMs = null }) {
  const needsLogin = reason === "unauthorized";
  const canRetry = !needsLogin && reason !== "not_found";
  if (reason === "busy") {
    const when = retryAfterMs ? ` Try again in ${durationWords(retryAfterMs)}.` : " Try again in a moment.";
    return { kind: reason, words: `${message || "The server is busy."}${when}`, canRetry, needsLogin };
  }
  const isTooLarge = status === 413 && !message; // said by a proxy in front of the server, which says nothing to people
  const words = (isTooLarge && "That is larger than this server, or a proxy in front of it, takes. Send less at once.") || (reason === "refused" && message) || FAILURES.get(reason) || message || "That did not work.";
  return { kind: reason, words, canRetry, needsLogin };
}

/**
 * The state of a connection.
 * @param {import("./stream.js").StreamState} state
 * @param {import("./stream.js").StateDetail} detail
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
  if (detail.reason === "push_disabled") return { words: "This server sends no live events (ENABLE_SSE_PUSH). Reload to see what is new.", canRetry: false, needsLogin: false };
  return { words: "Not connected. Reload the page to see what is new.", canRetry: false, needsLogin: false };
}
