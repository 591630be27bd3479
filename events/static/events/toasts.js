/** Notices that appear in a corner for a while, each in one tab only. */

import { TAKEN_MS } from "./notices.js";
import { make } from "./elements.js";

/** @typedef {import("./notices.js").Notice} Notice */

const ROOM = 4;
/** More than this at once - after a day away - are one toast that leads to the bell. */
const MANY = 8;
const STAY_MS = { info: 9_000, good: 9_000, bad: 20_000 };
/** First a tab that has what happened before the reader's eyes says so; then the tab in use shows it, else one that is visible beside it. */
const IN_USE_MS = 60;
const BESIDE_MS = 200;

export class Toasts {
  /**
   * @param {object} options
   * @param {HTMLElement} options.region
   * @param {import("./notices.js").Notices} options.notices
   * @param {() => void} options.onMany  leads to where all of them are listed
   */
  constructor({ region, notices, onMany }) {
    this._region = region;
    this._notices = notices;
    this._onMany = onMany;
    this._timer = 0;
    this._isClosing = false;
    this._isTaking = false;
    window.addEventListener("pagehide", () => (this._isClosing = true));
    window.addEventListener("pageshow", () => (this._isClosing = false));
    document.addEventListener("visibilitychange", () => this._soon());
    notices.onChange(() => this._soon());
    region.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this._close(/** @type {HTMLElement|null} */ (document.activeElement?.closest(".toast") ?? null));
    });
    this._soon();
  }

  /** @param {number} [delayMs] */
  _soon(delayMs = document.hasFocus() ? IN_USE_MS : BESIDE_MS) {
    if (this._timer || document.visibilityState !== "visible") return;
    this._timer = setTimeout(() => {
      this._timer = 0;
      this._take();
    }, delayMs);
  }

  async _take() {
    const room = ROOM - this._region.childElementCount;
    if (this._isTaking || this._isClosing || document.visibilityState !== "visible") return;
    this._isTaking = true;
    try {
      const taken = await this._notices.take(Math.max(room, 0), MANY);
      if (taken.length > MANY) this._showMany(taken);
      else for (const notice of taken) this._show(notice, [notice.id]);
      await this._notices.shown(taken.map(({ id }) => id));
      // Taken by a tab that closed before it could show them? Then they are free again in a while.
      if (room > 0 && (await this._notices.waiting()) > 0) setTimeout(() => this._soon(), TAKEN_MS + BESIDE_MS);
    } finally {
      this._isTaking = false;
    }
  }

  /** @param {Notice[]} notices */
  _showMany(notices) {
    const more = make("button", "link-button", "Show them");
    more.type = "button";
    const toast = this._show({ id: "", at: 0, title: `${notices.length} notices`, text: "They came while nobody was looking.", href: "", tone: "info" }, [], more);
    more.addEventListener("click", () => {
      this._close(toast);
      this._onMany();
    });
  }

  /**
   * @param {Notice} notice
   * @param {string[]} ids  seen by who dismisses or follows it
   * @param {HTMLElement} [action]
   */
  _show(notice, ids, action) {
    const toast = make("div", "toast");
    toast.dataset.tone = notice.tone;
    toast.dataset.id = notice.id;
    const dismiss = make("button", "quiet-button toast-dismiss", "Dismiss");
    dismiss.type = "button";
    dismiss.setAttribute("aria-label", `Dismiss “${notice.title}”`);
    const words = make("div", "toast-words");
    words.append(titleOf(notice), ...(notice.text ? [make("p", "toast-text", notice.text)] : []), ...(action ? [action] : []));
    toast.append(words, dismiss);
    const seen = () => {
      this._close(toast);
      this._notices.seen(ids);
    };
    dismiss.addEventListener("click", seen);
    words.querySelector("a")?.addEventListener("click", () => this._notices.seen(ids));
    this._region.append(toast);
    this._letGo(toast, STAY_MS[notice.tone]);
    return toast;
  }

  /** It stays while it is pointed at or holds the focus. @param {HTMLElement} toast @param {number} stayMs */
  _letGo(toast, stayMs) {
    let timer = setTimeout(() => this._close(toast), stayMs);
    const hold = () => clearTimeout(timer);
    const release = () => {
      clearTimeout(timer);
      if (!toast.matches(":hover, :focus-within")) timer = setTimeout(() => this._close(toast), stayMs / 2);
    };
    for (const type of ["pointerenter", "focusin"]) toast.addEventListener(type, hold);
    for (const type of ["pointerleave", "focusout"]) toast.addEventListener(type, release);
  }

  /** @param {HTMLElement|null} toast */
  _close(toast) {
    if (!toast?.isConnected) return;
    toast.remove();
    this._soon(0);
  }
}

/** @param {Notice} notice */
function titleOf({ title, href }) {
  const heading = make("p", "toast-title");
  if (href === "") heading.textContent = title;
  else {
    const link = make("a", "", title);
    link.href = href;
    heading.append(link);
  }
  return heading;
}
