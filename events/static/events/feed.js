/**
 * The user feed of Throughline, for any page: everything that happens to one user, once, in order.
 *
 * - One connection for all tabs of a browser. The tab that holds the Web Lock reads and tells the others; when it closes,
 *   the next goes on from the last event it has heard, and so nothing is lost in between, and nothing comes twice.
 * - The cursor is kept across reloads, per user: what happened while no tab was open arrives when one is.
 * - A connection that breaks or falls silent is made anew, with growing, random pauses and the server's `Retry-After`.
 *
 *     import { openFeed } from "/static/events/feed.js";
 *     const feed = openFeed({
 *       user: "user_alice",
 *       onEvent: (event) => console.log(event.type, event.payload),
 *       onStale: () => location.reload(), // events are missing: fetch the present state anew
 *     });
 *
 * It needs this file, stream.js, sse.js, pauses.js, position.js and leadership.js, and no build step.
 */

import { Leadership } from "./leadership.js";
import { Seen, StoredCursor, timeOf } from "./position.js";
import { openStream } from "./stream.js";

/** @typedef {import("./stream.js").StreamState} FeedState */
/** @typedef {import("./stream.js").StateDetail} FeedDetail */

/**
 * @typedef {object} FeedEvent
 * @property {string} type  such as `message.finished`
 * @property {string} ts  when, ISO 8601
 * @property {string} user_id
 * @property {string} topic
 * @property {{kind?: string, id?: string}} scope  what it is about
 * @property {any} payload
 * @property {string|null} id  its place in the feed; null: told again because it is not over yet (a running answer)
 */

/**
 * @typedef {object} FeedListener
 * @property {(event: FeedEvent) => void} [onEvent]  each event once in each tab
 * @property {(state: FeedState, detail: FeedDetail) => void} [onState]  the connection's state; `reconnecting` has `delayMs`, and `failed` is for good
 * @property {(gap: {reason: string, oldest_retained_id?: string}) => void} [onStale]  events are missing: fetch the present state anew
 * @property {(detail: FeedDetail) => void} [onExpired]  the login is over; nothing more comes until someone logs in again
 */

/**
 * @typedef {object} FeedOptions
 * @property {string} user  whose feed it is: tabs share by this name, and the cursor is kept under it
 * @property {string} [url]  default `/api/events`
 * @property {Record<string, string> | (() => Record<string, string> | Promise<Record<string, string>>)} [headers]  such as `Authorization`,
 *   when there is no session cookie; a function is asked again for each connection
 * @property {number} [keepAliveMs]  the server's SSE_KEEPALIVE_SECONDS; 2.5 times of it in silence is a dead connection
 * @property {number} [retryMs]  ceiling of the first pause, unless the server says `retry:`
 * @property {number} [maxRetryMs]  ceiling of all pauses
 * @property {number} [checkMs]  how often a tab that is looked at makes sure that the leading tab still lives
 * @property {number} [patienceMs]  how long the leading tab may take to answer that
 */

/**
 * Opens the user's feed. Never throws; an error in a listener is reported (`window.onerror`) and stops nothing.
 * @param {FeedOptions & FeedListener} options
 * @returns {Feed}
 */
export function openFeed(options) {
  return new Feed(options);
}

export class Feed {
  /** @param {FeedOptions & FeedListener} options */
  constructor(options) {
    this._options = { url: "/api/events", checkMs: 20_000, patienceMs: 5_000, ...options };
    const name = `throughline-feed:${this._options.url}:${options.user}`;
    /** @type {FeedState} */
    this.state = "connecting";
    /** @type {FeedDetail} */
    this.detail = {};
    /** @type {Set<FeedListener>} */
    this._listeners = new Set([options]);
    this._seen = new Seen();
    this._stored = new StoredCursor(name);
    this._heardAt = 0;
    /** @type {any} The timer of a question to the leading tab. */
    this._patience = 0;
    this._isClosed = false;
    /** @type {import("./stream.js").Stream|null} */
    this._stream = null;
    const locks = globalThis.BroadcastChannel ? globalThis.navigator?.locks : undefined;
    this._channel = locks ? new BroadcastChannel(name) : null;
    if (this._channel) this._channel.onmessage = ({ data }) => this._hear(data);
    this._leadership = new Leadership({ name, locks, lead: (signal) => this._lead(signal) });
    this._unwatch = this._watch();
    this._leadership.start();
    this._say({ kind: "ask" });
  }

  /** Id of the last event that this tab has seen, "" before the first. */
  get cursor() {
    return this._seen.cursor;
  }

  /** Whether this tab holds the connection. */
  get isLeading() {
    return this._leadership.isLeading;
  }

  /**
   * One more part of the page that listens; it is told the present state at once.
   * @param {FeedListener} listener
   * @returns {() => void} ends that
   */
  listen(listener) {
    this._listeners.add(listener);
    tell(() => listener.onState?.(this.state, this.detail));
    return () => this._listeners.delete(listener);
  }

  /** Cuts a pause short; also begins again after the end, with the `headers` of then. */
  retryNow() {
    if (this._isClosed) return;
    if (this._stream) this._stream.retryNow();
    else this._say({ kind: "retry" });
    this._leadership.start();
  }

  /** Ends this tab's part; the connection goes to another tab, if there is one. */
  close() {
    this._isClosed = true;
    this._leadership.stop();
    this._unwatch();
    if (this._channel) this._channel.onmessage = null;
    this._channel?.close();
  }

  /** Forgets the cursor: the next feed of this user begins in the present. */
  forget() {
    this._stored.forget();
  }

  // Leading: reading the stream, and telling the others.

  /** @param {AbortSignal} signal */
  async _lead(signal) {
    const { url, headers, keepAliveMs, retryMs, maxRetryMs } = this._options;
    const given = Object.fromEntries(Object.entries({ headers, keepAliveMs, retryMs, maxRetryMs }).filter(([, value]) => value !== undefined));
    const stream = openStream({
      ...given,
      url,
      signal,
      // Our own before the stored one: the leader before may have stored what it had no time to tell.
      cursor: this._seen.cursor || this._stored.cursor || (this._stored.since === null ? "" : "0"),
      isTerminal: (event) => event.json?.type === "auth.expired",
      onEvent: (event) => this._read(event),
      onState: (state, detail) => this._readState(state, detail),
      onGap: (gap) => this._readGap(gap),
    });
    this._stream = stream;
    try {
      await stream.done;
    } finally {
      if (this._stream === stream) this._stream = null;
    }
  }

  /** @param {import("./stream.js").StreamEvent} event */
  _read({ id, json }) {
    if (json === null || typeof json !== "object" || json.type === "auth.expired") return;
    const { since } = this._stored;
    // From before the first visit: not news, but a place to go on from.
    if (id === null || since === null || !(timeOf(id) < since)) this._sayAndDo({ kind: "event", event: { ...json, id } });
    // Stored after it was told: if all tabs die now it comes again, the other way round never.
    if (id !== null) this._stored.advance(id);
  }

  /** @param {FeedState} state @param {FeedDetail} detail */
  _readState(state, detail) {
    if (detail.reason === "aborted") return; // another tab leads now, or this one was closed
    if (state === "connecting" && !isOver(this.state) && this.state !== "connecting") return; // taken over: nobody need know
    if (state === "live") this._begin(detail.serverTime ?? null);
    const isExpired = detail.reason === "terminal";
    if (isExpired) this._sayAndDo({ kind: "state", state: "failed", detail: { reason: "unauthorized", status: 401 } });
    else this._sayAndDo({ kind: "state", state, detail });
  }

  /**
   * Without a cursor a stream begins in the present. Should it break before its first event, all that is kept is asked for,
   * and what is older than this moment is passed over.
   * @param {number|null} serverTime
   */
  _begin(serverTime) {
    if (!this._stream || this._stream.cursor !== "" || serverTime === null) return;
    this._stored.beginAt(serverTime);
    this._stream.cursor = "0";
  }

  /** @param {{reason: string, oldest_retained_id?: string}} gap */
  _readGap(gap) {
    const { since } = this._stored;
    if (since !== null && gap.oldest_retained_id && timeOf(gap.oldest_retained_id) < since) return; // gone before the first visit
    if (gap.reason === "unknown_cursor" || gap.reason === "malformed") this._stored.rewind();
    this._sayAndDo({ kind: "stale", gap });
  }

  // All tabs: what the leading one says.

  /** @param {any} said */
  _sayAndDo(said) {
    this._say(said);
    this._do(said);
  }

  /** @param {any} said */
  _say(said) {
    if (!this._isClosed) this._channel?.postMessage(said);
  }

  /** @param {any} said */
  _hear(said) {
    if (said.kind === "ask") {
      if (this._stream) this._say({ kind: "state", state: this.state, detail: this.detail, cursor: this._seen.cursor });
    } else if (said.kind === "retry") {
      this._stream?.retryNow();
    } else if (!this._stream) {
      this._heardAt = Date.now();
      this._do(said);
      // Someone logged in again: this tab is there when its turn comes.
      if (!isOver(this.state)) this._leadership.start();
    }
  }

  /** @param {any} said */
  _do(said) {
    if (said.kind === "event") {
      // An empty backlog gives a new cursor with this, after it has said that events are missing.
      if (said.event.type === "backlog.restarted") this._seen.take(said.event.id);
      else if (said.event.id === null || this._seen.take(said.event.id)) this._tellAll((listener) => listener.onEvent?.(said.event));
    } else if (said.kind === "stale") {
      if (said.gap.reason === "unknown_cursor" || said.gap.reason === "malformed") this._seen.rewind();
      this._tellAll((listener) => listener.onStale?.(said.gap));
    } else this._enter(said);
  }

  /** @param {{state: FeedState, detail: FeedDetail, cursor?: string}} said */
  _enter({ state, detail, cursor }) {
    if (cursor) this._seen.join(cursor);
    const wasExpired = this.detail.reason === "unauthorized";
    this.state = state;
    this.detail = detail;
    this._tellAll((listener) => listener.onState?.(state, detail));
    // For good: no tab need try what the leading one has found out. (Its own candidacy ends with its stream.)
    if (isOver(state) && !this._stream) this._leadership.stop();
    if (detail.reason === "unauthorized" && !wasExpired) this._tellAll((listener) => listener.onExpired?.(detail));
  }

  /** @param {(listener: FeedListener) => void} say */
  _tellAll(say) {
    for (const listener of [...this._listeners]) tell(() => say(listener));
  }

  // A leading tab may be frozen by its browser without giving up the lock (phones do): whoever is looked at takes over then.

  /** @returns {() => void} stops watching */
  _watch() {
    const onVisible = () => {
      if (isVisible()) this._check();
    };
    const timer = setInterval(onVisible, this._options.checkMs);
    globalThis.document?.addEventListener("visibilitychange", onVisible);
    globalThis.addEventListener?.("online", onVisible);
    return () => {
      clearInterval(timer);
      clearTimeout(this._patience);
      globalThis.document?.removeEventListener("visibilitychange", onVisible);
      globalThis.removeEventListener?.("online", onVisible);
    };
  }

  _check() {
    if (this._stream || this._isClosed) return;
    if (isOver(this.state)) {
      // Without a login, or where no events are sent, asking again is useless; all else may have been mended.
      if (this.detail.reason !== "unauthorized" && this.state === "failed") this._leadership.start();
      return;
    }
    if (!this._channel || this._patience) return;
    const askedAt = Date.now();
    this._say({ kind: "ask" });
    this._patience = setTimeout(() => {
      this._patience = 0;
      if (this._heardAt < askedAt && !this._isClosed && isVisible()) this._leadership.take();
    }, this._options.patienceMs);
  }
}

/** @param {FeedState} state */
function isOver(state) {
  return state === "failed" || state === "ended";
}

function isVisible() {
  return globalThis.document === undefined || globalThis.document.visibilityState === "visible";
}

/** Calls a listener; its error is its own. @param {() => void} say */
function tell(say) {
  try {
    say();
  } catch (error) {
    if (globalThis.reportError) globalThis.reportError(error);
    else setTimeout(() => Promise.reject(error));
  }
}
