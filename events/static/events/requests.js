/** Requests to the server's JSON endpoints, with the session's cookie and CSRF token. */

import { parseRetryAfter } from "./pauses.js";

/** A request that failed; `detail` is what `failureWords` takes. */
export class RequestError extends Error {
  /** @param {import("./stream.js").StateDetail} detail */
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
 * @param {{method?: string, body?: unknown, signal?: AbortSignal, keepalive?: boolean, headers?: Record<string, string>}} [options]  `keepalive`: also when the page goes away
 * @returns {Promise<any>} the JSON of the answer; null when it has none
 * @throws {RequestError} also when nothing could be reached
 */
export async function request(path, { method = "GET", body, signal, keepalive = false, headers: more = {} } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...more };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  let text;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal, keepalive, cache: "no-store" });
    text = await response.text();
  } catch (error) {
    throw new RequestError({ reason: signal?.aborted ? "aborted" : "unreachable", message: String(error) });
  }
  return answered(response.status, text, response.headers.get("Retry-After"));
}

/**
 * Sends a form, telling how far it is: `fetch` cannot.
 * @param {string} path
 * @param {FormData} form
 * @param {{onProgress?: (share: number) => void, signal?: AbortSignal}} [options]
 * @returns {Promise<any>} the JSON of the answer
 * @throws {RequestError}
 */
export function upload(path, form, { onProgress, signal } = {}) {
  return new Promise((resolve, reject) => {
    const sender = new XMLHttpRequest();
    const onBreak = () => reject(new RequestError({ reason: signal?.aborted ? "aborted" : "unreachable" }));
    sender.open("POST", path);
    sender.setRequestHeader("Accept", "application/json");
    sender.setRequestHeader("X-CSRFToken", csrfToken());
    sender.upload.addEventListener("progress", (event) => event.lengthComputable && onProgress?.(event.loaded / event.total));
    sender.addEventListener("error", onBreak);
    sender.addEventListener("abort", onBreak);
    sender.addEventListener("load", () => {
      try {
        resolve(answered(sender.status, sender.responseText, sender.getResponseHeader("Retry-After")));
      } catch (error) {
        reject(error);
      }
    });
    signal?.addEventListener("abort", () => sender.abort());
    sender.send(form);
  });
}

/** @param {number} status @param {string} text @param {string|null} retryAfter */
function answered(status, text, retryAfter) {
  const json = parse(text);
  if (status >= 200 && status < 300) return json;
  const reason = REASONS.get(status) ?? (status >= 500 ? "server_error" : "refused");
  throw new RequestError({ reason, status, message: wordsOf(json), retryAfterMs: parseRetryAfter(retryAfter) });
}

/** What a refusal says: `message` or `detail`; of several problems with a form, each. @param {any} json */
function wordsOf(json) {
  if (Array.isArray(json?.detail)) return json.detail.map((/** @type {any} */ each) => each?.msg ?? String(each)).join(" ");
  return [json?.message, json?.detail].find((value) => typeof value === "string") ?? "";
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A key for `Idempotency-Key`. `crypto.randomUUID` is missing on plain http in a local network; random bytes are not. */
export function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
