/**
 * A WebSocket that comes back by itself, with its cursor. No DOM: it also runs in Node.
 *
 * A reader owns nothing but a cursor: the `id` of the last frame that had one. Each connection asks for what comes after
 * it (`?since=`), so that every event arrives once, in order, whatever the network does. The server knows the tab by
 * `client` and does not send it its own broadcasts, also not when it comes back.
 */

import { backOff } from "./pauses.js";
import { newKey } from "./requests.js";

/** @typedef {import("./stream.js").StreamState} State */
/** @typedef {import("./stream.js").StateDetail} Detail */

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
/** A ping this often; no frame at all within two of them is a dead connection. */
const PING_MS = 15_000;
/** Closes after which coming back is of no use: not allowed, not understood, not there. */
const FINAL = new Map([
  [1008, "forbidden"],
  [4400, "refused"],
  [4404, "not_found"],
]);

export class ResumingSocket {
  /**
   * @param {{path: string, cursor: string, onFrame: (frame: any) => void, onState: (state: State, detail: Detail) => void,
   *   greeting?: string, place?: string, base?: string, pingMs?: number}} options  `greeting`: the type of the frame that
   *   says that the connection is in force; `place`: the field of a frame that is its cursor; `base`: the server's address with
   *   ws: or wss:, default the page's
   */
  constructor({
    path,
    cursor,
    onFrame,
    onState,
    greeting = "connected",
    place = "id",
    base = location.origin.replace(/^http/, "ws"),
    pingMs = PING_MS,
  }) {
    this._address = `${base}${path}`;
    this._client = newKey();
    this._onFrame = onFrame;
    this._onState = onState;
    this._greeting = greeting;
    this._place = place;
    this._pingMs = pingMs;
    this._attempt = 0;
    this._heardAt = 0;
    this._isOver = false;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this._timer = undefined;
    this.cursor = cursor;
    this._connect();
  }

  /** @param {object} frame @returns {boolean} whether there is a connection that it was given to */
  send(frame) {
    if (this._socket?.readyState !== WebSocket.OPEN) return false;
    this._socket.send(JSON.stringify(frame));
    return true;
  }

  /** Tries again at once, when it waits. */
  retryNow() {
    if (this._isOver || this._socket) return;
    clearTimeout(this._timer);
    this._connect();
  }

  close() {
    this._isOver = true;
    clearTimeout(this._timer);
    this._socket?.close();
  }

  _connect() {
    const query = new URLSearchParams({ client: this._client });
    if (this.cursor) query.set("since", this.cursor);
    const socket = new WebSocket(`${this._address}${this._address.includes("?") ? "&" : "?"}${query}`);
    this._socket = socket;
    this._heardAt = Date.now();
    this._onState(this._attempt === 0 ? "connecting" : "reconnecting", { attempt: this._attempt });
    const pinging = setInterval(() => this._ping(socket), this._pingMs);
    socket.addEventListener("message", ({ data }) => {
      // What is still on its way to one that was closed is not shown any more.
      if (socket === this._socket && !this._isOver) this._take(JSON.parse(data));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      clearInterval(pinging);
      if (socket === this._socket) this._lost(code, reason);
    });
  }

  /** @param {WebSocket} socket */
  _ping(socket) {
    if (Date.now() - this._heardAt <= 2 * this._pingMs) {
      this.send({ type: "ping" });
      return;
    }
    // A close handshake with a peer that is gone takes minutes; nobody waits for it.
    socket.close();
    if (socket === this._socket) this._lost(1006, "");
  }

  /** @param {any} frame */
  _take(frame) {
    this._heardAt = Date.now();
    if (frame.type === this._greeting) {
      this._attempt = 0;
      this._onState("live", {});
    }
    this._onFrame(frame);
    // After the page has taken it: a frame that it fails on comes again.
    if (frame[this._place] !== undefined) this.cursor = String(frame[this._place]);
  }

  /** @param {number} code @param {string} reason */
  _lost(code, reason) {
    this._socket = undefined;
    if (this._isOver) return;
    const final = FINAL.get(code);
    if (final !== undefined) {
      this._isOver = true;
      this._onState("failed", { reason: reason === "Invalid token" ? "unauthorized" : final, message: reason });
      return;
    }
    this._attempt += 1;
    const delayMs = backOff(this._attempt, FIRST_DELAY_MS, LONGEST_DELAY_MS);
    this._onState("reconnecting", { reason: code === 1013 || code === 4429 ? "busy" : "closed", attempt: this._attempt, delayMs });
    this._timer = setTimeout(() => this._connect(), delayMs);
  }
}
