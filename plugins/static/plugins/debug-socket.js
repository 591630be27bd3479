/** The debug socket of one execution: comes back by itself, after the last event that it has. No DOM. */

import { backOff } from "../events/stream.js";

const FIRST_DELAY_MS = 500;
const LONGEST_DELAY_MS = 30_000;
const PING_MS = 15_000;
/** The execution is not there, or not any more. */
const NOT_FOUND = 4404;

export class DebugSocket {
  /**
   * @param {string} id  of the execution
   * @param {{since: () => number, onFrame: (frame: any) => void, onState: (state: "connecting"|"live"|"reconnecting"|"gone") => void}} hooks
   */
  constructor(id, { since, onFrame, onState }) {
    this._path = `/api/v1/ws/plugin/debug/${encodeURIComponent(id)}`;
    this._since = since;
    this._onFrame = onFrame;
    this._onState = onState;
    this._attempt = 0;
    this._isOver = false;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this._timer = undefined;
    this._connect();
  }

  close() {
    this._isOver = true;
    clearTimeout(this._timer);
    this._socket?.close();
  }

  _connect() {
    const since = this._since();
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${this._path}${since ? `?since=${since}` : ""}`);
    let heardAt = Date.now();
    this._socket = socket;
    this._onState(this._attempt === 0 ? "connecting" : "reconnecting");
    const pinging = setInterval(() => {
      if (Date.now() - heardAt > 2 * PING_MS) socket.close();
      else if (socket.readyState === WebSocket.OPEN) socket.send("ping");
    }, PING_MS);
    socket.addEventListener("message", ({ data }) => {
      heardAt = Date.now();
      if (this._isOver || data === "pong") return;
      const frame = JSON.parse(data);
      if (frame.type === "execution_info") {
        this._attempt = 0;
        this._onState("live");
      }
      this._onFrame(frame);
    });
    socket.addEventListener("close", ({ code }) => {
      clearInterval(pinging);
      this._lost(code);
    });
  }

  /** @param {number} code */
  _lost(code) {
    if (this._isOver) return;
    if (code === NOT_FOUND) {
      this._isOver = true;
      this._onState("gone");
      return;
    }
    this._attempt += 1;
    this._onState("reconnecting");
    this._timer = setTimeout(() => this._connect(), backOff(this._attempt, FIRST_DELAY_MS, LONGEST_DELAY_MS));
  }
}
