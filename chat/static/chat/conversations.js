/** The list of conversations at the side, newest first. */

import { conversationPath, conversationsPath, cursorOf, request } from "./api.js";
import { make } from "./message-view.js";

/** Several events often come together; the list is asked for once. */
const GATHER_MS = 250;

/** @typedef {{id: string, title: string, updated_at: string, running_message_id: string|null, application: {id: string, name: string}|null}} Conversation */

export const UNTITLED = "Untitled conversation";

export class ConversationList {
  /**
   * @param {{list: HTMLElement, note: HTMLElement, more: HTMLButtonElement}} elements
   * @param {{onOpen: (id: string) => void, onChange: () => void, onError: (error: unknown) => void}} hooks
   */
  constructor({ list, note, more }, hooks) {
    this._list = list;
    this._note = note;
    this._more = more;
    this._hooks = hooks;
    /** @type {Conversation[]} */
    this._items = [];
    /** @type {Map<string, HTMLElement>} */
    this._rows = new Map();
    /** @type {string|null} */
    this._next = null;
    this._hasLoaded = false;
    /** @type {Map<string, Conversation>} Opened by their address, and too old for the part of the list that is shown. */
    this._apart = new Map();
    /** @type {string|null} */
    this._current = null;
    this._timer = 0;
    note.textContent = "Loading…";
    more.addEventListener("click", () => this._loadMore().catch(hooks.onError));
    list.addEventListener("click", (event) => this._onClick(event));
  }

  /** @param {string|null} id */
  setCurrent(id) {
    this._current = id;
    for (const [other, row] of this._rows) markCurrent(row, other === id);
  }

  /** @param {string|null} id @returns {Conversation|undefined} */
  find(id) {
    return this._items.find((item) => item.id === id) ?? this._apart.get(id ?? "");
  }

  /** Makes sure that `find` knows a conversation, if there is such a one. @param {string|null} id */
  async require(id) {
    if (id === null || this.find(id)) return;
    this._apart.set(id, await request(conversationPath(id)));
    this._hooks.onChange();
  }

  /** Asks for the newest, soon. */
  refreshSoon() {
    if (this._timer) return;
    this._timer = setTimeout(() => {
      this._timer = 0;
      this.refresh().catch(this._hooks.onError);
    }, GATHER_MS);
  }

  async refresh() {
    const page = await request(conversationsPath);
    /** @type {Conversation[]} */
    const newest = page.results;
    const ids = new Set(newest.map((item) => item.id));
    const oldest = newest.at(-1);
    // What is older than this page stays; what should be on it and is not, has been deleted.
    const older = page.next && oldest ? this._items.filter((item) => !ids.has(item.id) && item.updated_at <= oldest.updated_at) : [];
    if (older.length === 0 || !this._hasLoaded) this._next = cursorOf(page.next);
    this._hasLoaded = true;
    this._items = [...newest, ...older];
    this._render();
  }

  async _loadMore() {
    if (this._next === null) return;
    this._more.disabled = true;
    try {
      const page = await request(`${conversationsPath}?cursor=${encodeURIComponent(this._next)}`);
      const ids = new Set(this._items.map((item) => item.id));
      this._items.push(...page.results.filter((/** @type {Conversation} */ item) => !ids.has(item.id)));
      this._next = cursorOf(page.next);
      this._render();
    } finally {
      this._more.disabled = false;
    }
  }

  /** @param {string} id @param {string} title */
  async rename(id, title) {
    const renamed = await request(conversationPath(id), { method: "PATCH", body: { title } });
    const item = this.find(id);
    if (item) item.title = renamed?.title ?? title;
    this._render();
  }

  /** @param {string} id */
  async remove(id) {
    await request(conversationPath(id), { method: "DELETE" });
    this._items = this._items.filter((item) => item.id !== id);
    this._apart.delete(id);
    this._render();
  }

  /** Marks a conversation as being answered or not, before the list says so. @param {string} id @param {string|null} messageId */
  setRunning(id, messageId) {
    const item = this.find(id);
    if (!item || item.running_message_id === messageId) return;
    item.running_message_id = messageId;
    this._render();
  }

  _render() {
    const rows = new Map();
    for (const item of this._items) {
      const row = this._rows.get(item.id) ?? makeRow(item.id);
      fillRow(row, item);
      markCurrent(row, item.id === this._current);
      rows.set(item.id, row);
    }
    this._rows = rows;
    const focused = document.activeElement;
    this._list.replaceChildren(...rows.values());
    if (focused instanceof HTMLElement && this._list.contains(focused)) focused.focus();
    this._note.textContent = this._items.length === 0 ? "No conversations yet. Ask something, and it appears here." : "";
    this._more.hidden = this._next === null;
    this._hooks.onChange();
  }

  /** @param {MouseEvent} event */
  _onClick(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    // With a modifier it is the browser's: a new tab, a new window.
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this._hooks.onOpen(link.dataset.id ?? "");
  }
}

/** @param {string} id */
function makeRow(id) {
  const row = make("li");
  const link = /** @type {HTMLAnchorElement} */ (make("a"));
  link.href = `/?c=${encodeURIComponent(id)}`;
  link.dataset.id = id;
  link.append(make("span", "title"), make("span", "answering"));
  row.append(link);
  return row;
}

/** @param {HTMLElement} row @param {Conversation} item */
function fillRow(row, item) {
  const [title, answering] = /** @type {HTMLElement[]} */ ([...(row.firstElementChild?.children ?? [])]);
  const words = item.title || UNTITLED;
  if (title.textContent !== words) title.textContent = words;
  title.title = words;
  const state = item.running_message_id ? "answering" : "";
  if (answering.textContent !== state) answering.textContent = state;
}

/** @param {HTMLElement} row @param {boolean} isCurrent */
function markCurrent(row, isCurrent) {
  if (isCurrent) row.firstElementChild?.setAttribute("aria-current", "page");
  else row.firstElementChild?.removeAttribute("aria-current");
}
