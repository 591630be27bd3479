/** The form with which a member tells the others something. */

import { byId } from "../events/elements.js";
import { newKey } from "../events/requests.js";
import { BROADCASTS } from "./words.js";

/** After a connection is back, what it replays is there at once; a broadcast that is not in it did not arrive. */
const REPLAY_MS = 3_000;

export class Broadcasting {
  /** @param {{send: (frame: object) => boolean, onSent: (frame: any) => void}} hooks */
  constructor({ send, onSent }) {
    this._send = send;
    this._onSent = onSent;
    /** @type {any} What is on its way. */
    this._pending = null;
    this._isLive = false;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this._timer = undefined;
    byId("broadcast").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this._submit();
    });
  }

  /** @param {boolean} isLive */
  setLive(isLive) {
    this._isLive = isLive;
    clearTimeout(this._timer);
    if (isLive && this._pending) this._timer = setTimeout(() => this._fail("It did not arrive: the connection broke. Send it again."), REPLAY_MS);
    this._show();
  }

  /** The server has it. @param {{ref: string, id: string}} receipt @param {string} user */
  accept({ ref, id }, user) {
    if (this._pending?.ref !== ref) return;
    clearTimeout(this._timer);
    const { ref: _, ...said } = this._pending;
    this._pending = null;
    byId("broadcast-about").value = byId("broadcast-what").value = "";
    byId("broadcast-error").hidden = true;
    this._onSent({ ...said, id, user_id: user, origin: "member", timestamp: new Date().toISOString() });
    this._show();
  }

  /** @param {{ref?: string, message: string}} error @returns {boolean} whether it was about a broadcast */
  refuse({ ref, message }) {
    if (this._pending === null || this._pending.ref !== ref) return false;
    this._fail(message);
    return true;
  }

  _submit() {
    const type = byId("broadcast-type").value;
    const about = byId("broadcast-about").value.trim();
    const what = byId("broadcast-what").value.trim();
    const field = BROADCASTS.get(type)?.field ?? "about";
    this._pending = { type, ref: newKey(), [field]: about, ...(what ? { action: what } : {}) };
    byId("broadcast-error").hidden = true;
    if (!this._send(this._pending)) this._fail("There is no connection right now. It is tried again; send it then.");
    this._show();
  }

  /** @param {string} words */
  _fail(words) {
    clearTimeout(this._timer);
    this._pending = null;
    byId("broadcast-error").textContent = words;
    byId("broadcast-error").hidden = false;
    this._show();
  }

  _show() {
    byId("broadcast-send").disabled = !this._isLive || this._pending !== null;
    byId("broadcast-send").textContent = this._pending ? "Sending…" : "Tell the others";
  }
}
