/**
 * One stream for all tabs of a browser.
 *
 * A browser opens about six connections to a host over HTTP/1.1, for all its tabs together; a feed in each tab would use
 * them up. So one tab - whoever holds the Web Lock - reads the stream and tells the others over a BroadcastChannel. When
 * it closes, the next tab takes the lock and continues from the cursor it has heard last: nothing is lost in between.
 * Without Web Locks (they need https or localhost) each tab reads for itself.
 */

import { openStream } from "./stream.js";

/**
 * @param {import("./stream.js").StreamOptions & {name: string}} options  those of `openStream`; `name` is the same for all tabs
 *   that share the stream, and different for different users
 * @returns {{close: () => void, retryNow: () => void}}
 */
export function openSharedFeed({ name, ...options }) {
  if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) return openStream(options);
  return new SharedFeed(name, options);
}

class SharedFeed {
  /** @param {string} name @param {import("./stream.js").StreamOptions} options */
  constructor(name, options) {
    this._options = options;
    this._cursor = options.cursor ?? "";
    this._hasHeard = false;
    /** @type {import("./stream.js").Stream|null} */
    this._stream = null;
    /** @type {[string, object]} */
    this._last = ["connecting", {}];
    this._channel = new BroadcastChannel(name);
    this._channel.onmessage = ({ data }) => this._hear(data);
    this._abort = new AbortController();
    this._leading = navigator.locks.request(name, { signal: this._abort.signal }, () => this._lead());
    this._leading.catch(() => undefined); // aborted while it waited for the lock: `close()`
    this._tell({ kind: "hello" });
  }

  close() {
    this._abort.abort();
    this._stream?.close();
    this._channel.close();
    this._channel.onmessage = null;
  }

  retryNow() {
    if (this._stream) this._stream.retryNow();
    else this._tell({ kind: "retry" });
  }

  _lead() {
    if (this._abort.signal.aborted) return undefined;
    // The leader before may have read events that nobody here knows of.
    if (this._hasHeard && this._cursor === "") this._options.onGap?.({ reason: "no_cursor" });
    this._stream = openStream({
      ...this._options,
      cursor: this._cursor,
      onEvent: (event) => this._tellAndDo({ kind: "event", event }),
      onState: (state, detail) => this._tellAndDo({ kind: "state", state, detail }),
      onGap: (gap) => this._tellAndDo({ kind: "gap", gap }),
    });
    return this._stream.done;
  }

  /** @param {any} said */
  _tellAndDo(said) {
    this._tell(said);
    this._do(said);
  }

  /** @param {any} said */
  _tell(said) {
    if (!this._abort.signal.aborted) this._channel.postMessage(said);
  }

  /** @param {any} said */
  _hear(said) {
    if (said.kind === "retry") this._stream?.retryNow();
    else if (said.kind === "hello") {
      if (this._stream) this._tell({ kind: "state", state: this._last[0], detail: this._last[1], cursor: this._stream.cursor });
    } else if (!this._stream) {
      this._hasHeard = true;
      this._do(said);
    }
  }

  /** @param {any} said */
  _do(said) {
    if (said.kind === "event") {
      this._cursor = said.event.lastEventId;
      this._options.onEvent?.(said.event);
    } else if (said.kind === "state") {
      if (said.cursor) this._cursor = said.cursor;
      this._last = [said.state, said.detail];
      this._options.onState?.(said.state, said.detail);
    } else this._options.onGap?.(said.gap);
  }
}
