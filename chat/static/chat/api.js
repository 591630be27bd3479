/** Requests to the server's JSON endpoints, with the session's cookie and CSRF token. */

import { parseRetryAfter } from "../events/stream.js";

/** A request that failed; `detail` is what `failureWords` takes. */
export class RequestError extends Error {
  /** @param {import("../events/stream.js").StateDetail} detail */
  constructor(detail) {
    super(detail.message || detail.reason);
    this.detail = detail;
  }
}

const REASONS = new Map([
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "not_found"],
  [410, "not_found"],
  [429, "busy"],
  [503, "busy"],
]);

/** The token may have changed since the page was made: logging in in another tab renews it. So the cookie comes first. */
export function csrfToken() {
  const cookie = document.cookie.split("; ").find((pair) => pair.startsWith("csrftoken="));
  const input = /** @type {HTMLInputElement|null} */ (document.querySelector("input[name=csrfmiddlewaretoken]"));
  return cookie ? decodeURIComponent(cookie.slice("csrftoken=".length)) : (input?.value ?? "");
}

/**
 * @param {string} path
 * @param {{method?: string, body?: unknown, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the JSON of the answer; null when it has none
 * @throws {RequestError} also when nothing could be reached
 */
export async function request(path, { method = "GET", body, signal } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    throw new RequestError({ reason: signal?.aborted ? "aborted" : "unreachable", message: String(error) });
  }
  const json = parse(text);
  if (response.ok) return json;
  const words = [json?.message, json?.detail].find((value) => typeof value === "string") ?? "";
  const reason = REASONS.get(response.status) ?? (response.status >= 500 ? "server_error" : "refused");
  throw new RequestError({ reason, status: response.status, message: words, retryAfterMs: parseRetryAfter(response.headers.get("Retry-After")) });
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * The cursor in a page's `next`: a date in a list of conversations, a number in one of messages.
 * @param {string|number|null} next
 * @returns {string|null}
 */
export function cursorOf(next) {
  return next === null ? null : String(next);
}

/** A key for `Idempotency-Key`. `crypto.randomUUID` is missing on plain http in a local network; random bytes are not. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export const conversationsPath = "/api/v1/conversations";
/** @param {string} id */
export const conversationPath = (id) => `${conversationsPath}/${encodeURIComponent(id)}`;
/** @param {string} id */
export const messagesPath = (id) => `${conversationPath(id)}/messages`;
/** @param {string} id */
export const answerPath = (id) => `/api/messages/${encodeURIComponent(id)}/events`;
/** @param {string} id */
export const stopPath = (id) => `/api/messages/${encodeURIComponent(id)}/stop`;
