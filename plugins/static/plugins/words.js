/** What the page of plugins says to people. No state, no DOM. */

/**
 * @typedef {{id: string, plugin: string, plugin_id: string, tool_name: string, status: string, input: unknown, result: unknown,
 *   error: string, created_at: string, started_at: string|null, ended_at: string|null}} Execution
 */

const STATES = new Map([
  ["pending", "Not started"],
  ["running", "Running"],
  ["completed", "Completed"],
  ["failed", "Failed"],
  ["unknown", "Outcome unknown"],
]);

/** @param {string} status */
export const stateWords = (status) => STATES.get(status) ?? status;

/** @param {string} status */
export const isOpen = (status) => status === "pending" || status === "running";

/** A value as text: a string as it is, anything else as JSON. @param {unknown} value */
export function valueText(value) {
  if (typeof value === "string") return value;
  return JSON.stringify(value, null, 2) ?? "";
}

/** @param {number|undefined} ms @returns {string} such as "12 ms" or "3.4 s"; empty when it is not known */
export function tookWords(ms) {
  if (typeof ms !== "number" || !Number.isFinite(ms)) return "";
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

/** How long an execution took, or has been running. @param {string|null} from @param {string|null} to */
export function spanWords(from, to) {
  if (!from || !to) return "";
  return tookWords(Math.max(0, Date.parse(to) - Date.parse(from)));
}

/** One line of the console for a frame. @param {any} frame @returns {{kind: string, level: string, words: string}} */
export function lineOf(frame) {
  const data = frame.data ?? {};
  const text = (/** @type {unknown} */ value) => (typeof value === "string" ? value : (JSON.stringify(value) ?? ""));
  switch (frame.type) {
    case "log":
      return { kind: "log", level: String(data.level ?? "info"), words: valueText(data.message) };
    case "step":
      return { kind: "step", level: data.status === "failed" ? "error" : "info", words: [text(data.name), data.status, tookWords(data.duration_ms), data.error && text(data.error)].filter(Boolean).join(" · ") };
    case "variable":
      return { kind: "variable", level: "info", words: `${text(data.name)} = ${text(data.value)}` };
    case "api_call":
      return { kind: "call", level: data.error || data.status >= 400 ? "error" : "info", words: callWords(data) };
    case "execution_complete":
      return { kind: "end", level: "info", words: "Completed" };
    case "execution_error":
      return { kind: "end", level: "error", words: text(data.error) };
    default:
      return { kind: String(frame.type), level: "info", words: text(data) };
  }
}

/** @param {any} call */
export function callWords(call) {
  return [call.method ?? "", valueText(call.url), call.status ?? "", tookWords(call.duration_ms), call.error ? valueText(call.error) : ""].filter((part) => part !== "").join(" ");
}
