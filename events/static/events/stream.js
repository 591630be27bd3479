/**
 * Reading one stream to its end, whatever the network does in between.
 *
 * A reader owns nothing but a cursor. When a connection breaks, the next one asks for what comes after the cursor, so
 * that every event arrives once, in order. No part of this module knows what the events mean, and it needs nothing
 * but `fetch`; it works in browsers and in Node.
 *
 *     const stream = openStream({
 *       url: "/api/events",
 *       onEvent: (event) => console.log(event.json),
 *       onState: (state, detail) => console.log(state, detail),
 *     });
 *     // later
 *     stream.close();
 */

import { backOff, parseRetryAfter } from "./pauses.js";
import { EventStreamParser, EventTooLongError } from "./sse.js";

/** @typedef {"connecting"|"live"|"reconnecting"|"ended"|"failed"} StreamState */

/**
 * Why a state was entered.
 *
 * - reconnecting: `unreachable` (no connection, or it broke), `silent` (not even a keep-alive), `closed` (the server ended
 *   the response before the stream's end), `busy` (429, 503), `server_error` (other 5xx), `woken` (network or tab is back)
 * - failed: `unauthorized` (log in), `forbidden`, `not_found`, `refused` (another 4xx), `not_a_stream`, and the reasons of
 *   reconnecting when `maxAttempts` is used up
 * - ended: `terminal` (an event for which `isTerminal` said yes), `nothing` (204), `push_disabled` (the server sends no events:
 *   ENABLE_SSE_PUSH), `aborted` (`close()` or `signal`)
 *
 * @typedef {object} StateDetail
 * @property {string} [reason]
 * @property {number} [attempt]  reconnecting: which attempt since the last event
 * @property {number} [delayMs]  reconnecting: when the next attempt is made
 * @property {number} [status]  failed, reconnecting: the HTTP status, when there was one
 * @property {string} [message]  failed, reconnecting: what the server said, in its words
 * @property {number|null} [retryAfterMs]  the server's Retry-After
 * @property {number|null} [serverTime]  live: the server's clock when the response began (its Date header), in ms since 1970
 */

/**
 * @typedef {object} StreamEvent
 * @property {string} event  value of the `event:` line, "message" when there was none
 * @property {string} data
 * @property {string|null} id  the event's own id; control events have none
 * @property {string} lastEventId  the cursor after this event
 * @property {any} json  `data` as JSON; undefined when it is none
 */

/**
 * @typedef {object} StreamOptions
 * @property {string} url
 * @property {string} [method]  default GET
 * @property {string} [body]
 * @property {Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>)} [headers]
 *   a function is asked again for each connection (fresh tokens)
 * @property {string|null} [cursor]  id of the last event that you already have; without it the server decides where to begin
 * @property {(event: StreamEvent) => void} [onEvent]  if it (or another callback) throws, the stream stops and `done` rejects with what it threw
 * @property {(state: StreamState, detail: StateDetail) => void} [onState]
 * @property {(gap: {reason: string, oldest_retained_id?: string}) => void} [onGap]
 *   events may be missing (`backlog.truncated`, or a break before the first cursor): fetch the present state anew
 * @property {(event: StreamEvent) => boolean} [isTerminal]  which event is the last of this stream; default none
 * @property {(seen: {first: StreamEvent|null, cursor: string}) => string|null} [resume]
 *   the address to GET when a request that is not a GET broke; null, or no such function: the request is repeated as it was
 *   (give it an `Idempotency-Key`)
 * @property {number} [keepAliveMs]  how often the server sends at least a comment; 2.5 times of that in silence is a dead connection
 * @property {number} [retryMs]  first back-off, unless the server says `retry:`
 * @property {number} [maxRetryMs]  longest back-off
 * @property {number} [maxAttempts]  attempts without a single event before giving up; default: never
 * @property {AbortSignal} [signal]
 */

/**
 * @typedef {object} Stream
 * @property {() => void} close  stops reading; the producer is not told
 * @property {() => void} retryNow  cuts a back-off short
 * @property {Promise<StateDetail & {state: StreamState}>} done  how it ended
 * @property {string} cursor
 * @property {StreamState} state
 */

const SILENCE_FACTOR = 2.5;
/** What the user feed says, as a comment, where the setting ENABLE_SSE_PUSH is off. */
const PUSH_DISABLED = "push_disabled";
const RETRIED_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);
const FAILURES = new Map([
  [401, "unauthorized"],
  [403, "forbidden"],
  [404, "not_found"],
  [410, "not_found"],
]);

/**
 * Opens a stream and keeps it open until its end. Never throws; watch `onState` or `done`.
 * @param {StreamOptions} options
 * @returns {Stream}
 */
export function openStream(options) {
  return new StreamReader(options);
}

/** @implements {Stream} */
class StreamReader {
  /** @param {StreamOptions} options */
  constructor(options) {
    this._options = { method: "GET", keepAliveMs: 15_000, retryMs: 1_000, maxRetryMs: 30_000, maxAttempts: Infinity, ...options };
    /** @type {string} */
    this.cursor = options.cursor ?? "";
    /** @type {StreamState} */
    this.state = "connecting";
    this._retryMs = this._options.retryMs;
    this._attempt = 0;
    this._wasLive = false;
    /** @type {StreamEvent|null} */
    this._first = null;
    this._closed = false;
    this._lastByteAt = 0;
    /** @type {AbortController|null} */
    this._connection = null;
    /** @type {(() => void)|null} */
    this._endWait = null;
    this.done = this._run();
  }

  close() {
    this._closed = true;
    this._connection?.abort("aborted");
    this._endWait?.();
  }

  retryNow() {
    this._endWait?.();
  }

  async _run() {
    const unlisten = this._listenForWaking();
    try {
      for (;;) {
        if (this._closed || this._options.signal?.aborted) return this._finish("ended", { reason: "aborted" });
        this._attempt += 1;
        if (!this._wasLive && this._attempt === 1) this._enter("connecting", {});
        const outcome = await this._readOneConnection();
        if (outcome.state) return this._finish(outcome.state, outcome.detail);
        if (this._attempt >= this._options.maxAttempts) return this._finish("failed", outcome.detail);
        await this._waitBeforeRetry(outcome.detail);
      }
    } catch (error) {
      const own = error instanceof ConsumerError ? error.cause : error;
      this.state = "failed";
      if (!(error instanceof ConsumerError && error.fromState)) this._enter("failed", { reason: "consumer", message: String(own) });
      throw own;
    } finally {
      unlisten();
    }
  }

  /** @param {StreamState} state @param {StateDetail} detail */
  _enter(state, detail) {
    this.state = state;
    this._call(this._options.onState, state, detail);
  }

  /** @param {StreamState} state @param {StateDetail} detail */
  _finish(state, detail) {
    this._enter(state, detail);
    return { state, ...detail };
  }

  /**
   * One request and its response. With a `state` in the outcome the stream is over, without one it is tried again.
   * @returns {Promise<{state?: StreamState, detail: StateDetail}>}
   */
  async _readOneConnection() {
    const connection = new AbortController();
    this._connection = connection;
    this._lastByteAt = Date.now();
    const silenceMs = this._options.keepAliveMs * SILENCE_FACTOR;
    // One slow check instead of a timer moved at every chunk; it also notices at once that a laptop has slept.
    const watchdog = setInterval(() => {
      if (Date.now() - this._lastByteAt > silenceMs) connection.abort("silent");
    }, silenceMs / 10);
    try {
      const response = await this._send(connection.signal);
      return (await this._refusal(response)) ?? (await this._readBody(response, connection));
    } catch (error) {
      if (error instanceof ConsumerError) throw error;
      if (error instanceof EventTooLongError) return { state: "failed", detail: { reason: "not_a_stream", message: error.message } };
      return this._brokenOutcome(connection, error);
    } finally {
      clearInterval(watchdog);
      connection.abort("over");
      this._connection = null;
    }
  }

  /** @param {AbortController} connection @param {unknown} error */
  _brokenOutcome(connection, error) {
    if (this._closed || this._options.signal?.aborted) return { state: /** @type {const} */ ("ended"), detail: { reason: "aborted" } };
    if (connection.signal.aborted) return { detail: { reason: String(connection.signal.reason) } };
    return { detail: { reason: "unreachable", message: error instanceof Error ? error.message : String(error) } };
  }

  /** @param {AbortSignal} signal */
  async _send(signal) {
    const { url, method, body, headers, resume } = this._options;
    const own = typeof headers === "function" ? await headers() : headers;
    const continuation = method === "GET" ? null : (resume?.({ first: this._first, cursor: this.cursor }) ?? null);
    /** @type {Record<string, string>} */
    const all = { Accept: "text/event-stream", ...own, ...(this.cursor === "" ? {} : { "Last-Event-ID": this.cursor }) };
    if (continuation !== null) delete all["Content-Type"];
    return fetch(continuation ?? url, {
      method: continuation === null ? method : "GET",
      body: continuation === null ? body : undefined,
      headers: all,
      cache: "no-store",
      credentials: "same-origin",
      signal,
    });
  }

  /**
   * What a response that is no stream means; null for a stream.
   * @param {Response} response
   * @returns {Promise<{state?: StreamState, detail: StateDetail}|null>}
   */
  async _refusal(response) {
    const { status } = response;
    if (status === 204) return { state: "ended", detail: { reason: "nothing" } };
    if (response.ok) {
      const type = response.headers.get("Content-Type") ?? "";
      if (type.startsWith("text/event-stream")) return null;
      return { state: "failed", detail: { reason: "not_a_stream", status } };
    }
    const detail = {
      status,
      message: await readMessage(response),
      retryAfterMs: parseRetryAfter(response.headers.get("Retry-After")),
    };
    if (!RETRIED_STATUSES.has(status)) return { state: "failed", detail: { reason: FAILURES.get(status) ?? "refused", ...detail } };
    return { detail: { reason: status === 429 || status === 503 ? "busy" : "server_error", ...detail } };
  }

  /**
   * @param {Response} response
   * @param {AbortController} connection
   * @returns {Promise<{state?: StreamState, detail: StateDetail}>}
   */
  async _readBody(response, connection) {
    const liveSince = Date.now();
    const isBlindReturn = this._wasLive && this.cursor === "" && this._options.method === "GET";
    this._wasLive = true;
    const date = Date.parse(response.headers.get("Date") ?? "");
    this._enter("live", { serverTime: Number.isNaN(date) ? null : date });
    if (isBlindReturn) this._call(this._options.onGap, { reason: "no_cursor" });
    let isDisabled = false;
    const onComment = (/** @type {string} */ comment) => {
      isDisabled ||= comment === PUSH_DISABLED;
    };
    const parser = new EventStreamParser({ lastEventId: this.cursor, onComment });
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return isDisabled ? { state: "ended", detail: { reason: "push_disabled" } } : { detail: { reason: "closed" } };
        this._lastByteAt = Date.now();
        const over = this._take(parser, value, connection);
        if (over) return over;
      }
    } finally {
      // A connection that lived is a success, even when nothing happened on it: the next break starts at the first back-off.
      if (Date.now() - liveSince > this._options.keepAliveMs) this._attempt = 0;
    }
  }

  /**
   * @param {EventStreamParser} parser
   * @param {Uint8Array} bytes
   * @param {AbortController} connection
   * @returns {{state: StreamState, detail: StateDetail}|null}
   */
  _take(parser, bytes, connection) {
    const events = parser.feed(bytes);
    this._retryMs = parser.retry ?? this._retryMs;
    for (const parsed of events) {
      const event = { ...parsed, json: parseJson(parsed.data) };
      this.cursor = event.lastEventId;
      this._attempt = 0;
      this._first ??= event;
      this._deliver(event);
      if (this._options.isTerminal?.(event)) return { state: "ended", detail: { reason: "terminal" } };
      // Closed by the callback itself, or by a signal: what was already read must not be delivered any more.
      if (this._closed || this._options.signal?.aborted || connection.signal.aborted) return null;
    }
    this.cursor = parser.lastEventId;
    return null;
  }

  /** @param {StreamEvent} event */
  _deliver(event) {
    const isGap = event.json?.type === "backlog.truncated" && event.id === null;
    if (isGap) this._call(this._options.onGap, event.json.payload ?? { reason: "" });
    else this._call(this._options.onEvent, event);
  }

  /**
   * Calls the caller's own code; its error must not look like a broken connection, which would be tried again.
   * @param {((...args: any[]) => void)|undefined} callback
   * @param {...any} args
   */
  _call(callback, ...args) {
    try {
      callback?.(...args);
    } catch (error) {
      throw new ConsumerError(error, callback === this._options.onState);
    }
  }

  /** @param {StateDetail} detail */
  async _waitBeforeRetry(detail) {
    const attempt = Math.max(this._attempt, 1);
    const isHurried = detail.reason === "woken";
    const own = isHurried ? 0 : backOff(attempt, this._retryMs, this._options.maxRetryMs);
    // Added and not the larger of both: all who were refused at once were told the same time.
    const delayMs = own + (detail.retryAfterMs ?? 0);
    this._enter("reconnecting", { ...detail, attempt, delayMs });
    if (delayMs === 0 || this._closed) return;
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, delayMs);
      this._endWait = () => {
        clearTimeout(timer);
        resolve(undefined);
      };
    });
    this._endWait = null;
  }

  /**
   * Comes back at once when the network does, or when someone looks at the page again.
   * @returns {() => void} stops listening
   */
  _listenForWaking() {
    const onOnline = () => this._wake(0);
    const onVisible = () => {
      if (globalThis.document.visibilityState === "visible") this._wake(this._options.keepAliveMs * 1.2);
    };
    const onAbort = () => this.close();
    globalThis.addEventListener?.("online", onOnline);
    globalThis.document?.addEventListener("visibilitychange", onVisible);
    this._options.signal?.addEventListener("abort", onAbort, { once: true });
    return () => {
      globalThis.removeEventListener?.("online", onOnline);
      globalThis.document?.removeEventListener("visibilitychange", onVisible);
      this._options.signal?.removeEventListener("abort", onAbort);
    };
  }

  /**
   * Ends a wait, and gives up a connection that has been silent for `silenceMs`: after a change of network the old one is
   * usually dead without knowing it, and reading on from the cursor costs next to nothing.
   * @param {number} silenceMs
   */
  _wake(silenceMs) {
    if (this._endWait) this._endWait();
    else if (Date.now() - this._lastByteAt >= silenceMs) this._connection?.abort("woken");
  }
}

/** Keeps an error of the caller's own code apart from a broken connection. */
class ConsumerError extends Error {
  /** @param {unknown} cause @param {boolean} fromState whether it was `onState` that failed */
  constructor(cause, fromState) {
    super("A callback failed.", { cause });
    this.fromState = fromState;
  }
}

/** @param {string} text */
function parseJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/**
 * What a refusal says to people: `message` or `detail` of a JSON body.
 * @param {Response} response
 */
async function readMessage(response) {
  const body = parseJson(await response.text());
  for (const words of [body?.message, body?.detail]) if (typeof words === "string") return words;
  return "";
}
