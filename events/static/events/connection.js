/** One line that says whether the page hears from the server: the worst of all its streams, in words. */

import { connectionWords } from "./words.js";

/** A connection that is back at once is not worth a word. */
const PATIENCE_MS = 600;
const RANK = ["ended", "live", "connecting", "reconnecting", "failed"];

export class ConnectionLine {
  /**
   * @param {{line: HTMLElement, words: HTMLElement, retry: HTMLElement, login: HTMLElement}} elements
   * @param {{announce: (words: string) => void, onRetry: () => void}} hooks
   */
  constructor({ line, words, retry, login }, { announce, onRetry }) {
    this._elements = { line, words, retry, login };
    this._announce = announce;
    /** @type {Map<string, [string, any, number]>} */
    this._states = new Map();
    this._timer = 0;
    this._announced = "connecting";
    retry.addEventListener("click", onRetry);
  }

  /** @param {string} key  which stream @param {any} state @param {any} detail */
  set(key, state, detail) {
    if (detail.reason === "push_disabled") state = "failed"; // over, but worth a word
    const isOver = state === "ended" || (state === "failed" && detail.reason !== "unauthorized" && key !== "feed");
    if (isOver) this._states.delete(key);
    else this._states.set(key, [state, detail, Date.now() + (detail.delayMs ?? 0)]);
    clearTimeout(this._timer);
    const isTrouble = this._worst()[0] === "reconnecting";
    if (isTrouble && this._elements.line.dataset.state === "live") this._timer = setTimeout(() => this._show(), PATIENCE_MS);
    else this._show();
  }

  /** @returns {[any, any, number]} */
  _worst() {
    return [...this._states.values()].sort(([a], [b]) => RANK.indexOf(b) - RANK.indexOf(a))[0] ?? ["live", {}, 0];
  }

  _show() {
    const { line, words, retry, login } = this._elements;
    const [state, detail, until] = this._worst();
    const left = Math.max(0, until - Date.now());
    const said = connectionWords(state, { ...detail, delayMs: left });
    line.dataset.state = state;
    if (words.textContent !== said.words) words.textContent = said.words;
    retry.hidden = !said.canRetry;
    login.hidden = !said.needsLogin;
    if (this._announced !== state && (state !== "live" || this._announced !== "connecting")) this._announce(said.words);
    this._announced = state;
    clearTimeout(this._timer);
    if (left > 0) this._timer = setTimeout(() => this._show(), 1000);
  }
}
