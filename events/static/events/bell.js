/** The bell: how many notices and notifications are unseen, the list of the notices, and the way to the inbox. */

import { make, timeWords } from "./elements.js";

/** More are kept, for who looks into the storage; nobody scrolls further. */
const LISTED = 50;

export class Bell {
  /**
   * @param {{button: HTMLElement, count: HTMLElement, words: HTMLElement, panel: HTMLElement, list: HTMLElement, empty: HTMLElement,
   *   clear: HTMLButtonElement, inbox: HTMLElement}} elements
   * @param {import("./notices.js").Notices} notices
   */
  constructor(elements, notices) {
    this._elements = elements;
    this._notices = notices;
    /** @type {Set<string>} What was unseen when the panel was opened: marked until it is closed. */
    this._fresh = new Set();
    this._inboxUnseen = 0;
    const { button, panel, clear } = elements;
    button.addEventListener("click", () => this._set(panel.hidden));
    clear.addEventListener("click", () => {
      notices.clear();
      button.focus();
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || panel.hidden) return;
      this._set(false);
      button.focus();
    });
    document.addEventListener("pointerdown", (event) => {
      if (!panel.hidden && event.target instanceof Node && !panel.contains(event.target) && !button.contains(event.target)) this._set(false);
    });
    panel.addEventListener("focusout", (event) => {
      if (event.relatedTarget instanceof Node && !panel.contains(event.relatedTarget) && event.relatedTarget !== button) this._set(false);
    });
    notices.onChange(() => this._refresh());
    this._refresh();
  }

  open() {
    this._set(true);
    this._elements.panel.focus();
  }

  /** Says how many notifications of the inbox are unseen. @param {number} unseen */
  setInbox(unseen) {
    this._inboxUnseen = unseen;
    this._refresh();
  }

  /** @param {boolean} isOpen */
  async _set(isOpen) {
    const { panel, button } = this._elements;
    panel.hidden = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    this._fresh.clear();
    await this._refresh();
  }

  async _refresh() {
    // Those of the inbox are listed there, and counted by the server.
    const kept = (await this._notices.list()).filter((notice) => !notice.inbox);
    const { count, words, panel, list, empty, clear, inbox, button } = this._elements;
    const unseenIds = kept.filter((notice) => !notice.seen).map(({ id }) => id);
    if (!panel.hidden && unseenIds.length > 0) {
      for (const id of unseenIds) this._fresh.add(id);
      await this._notices.seen(unseenIds); // and then, as after every change, the list is made anew
      return;
    }
    const unseen = unseenIds.length + this._inboxUnseen;
    inbox.textContent = this._inboxUnseen === 0 ? "" : `${this._inboxUnseen} unseen`;
    count.textContent = unseen > 99 ? "99+" : String(unseen);
    count.hidden = unseen === 0;
    words.textContent = unseen === 0 ? "Notices" : `Notices, ${unseen} unseen`;
    button.classList.toggle("has-unseen", unseen > 0);
    list.replaceChildren(...kept.slice(0, LISTED).map((notice) => rowOf(notice, this._fresh.has(notice.id))));
    empty.hidden = kept.length > 0;
    clear.hidden = kept.length === 0;
  }
}

/** @param {import("./notices.js").KeptNotice} notice @param {boolean} isNew */
function rowOf(notice, isNew) {
  const row = make("li");
  row.dataset.id = notice.id;
  row.dataset.tone = notice.tone;
  if (isNew) row.dataset.unseen = "";
  const body = notice.href ? make("a", "bell-row") : make("div", "bell-row");
  if (body instanceof HTMLAnchorElement) body.href = notice.href;
  const title = make("span", "bell-title", notice.title);
  if (isNew) title.prepend(make("span", "visually-hidden", "New: "));
  const time = make("time", "bell-time", timeWords(notice.at));
  time.dateTime = new Date(notice.at).toISOString();
  body.append(title, time, ...(notice.text ? [make("span", "bell-text", notice.text)] : []));
  row.append(body);
  return row;
}
