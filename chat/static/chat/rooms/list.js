/** The list of rooms at the side, those with the newest message first. */

import { make } from "../../events/elements.js";
import { request } from "../../events/requests.js";
import { addressOf, roomPath, roomsPath } from "./api.js";
import { excerptWords, roomName, unreadWords } from "./words.js";

/** Several events often come together; the list is asked for once. */
const GATHER_MS = 150;

/** @typedef {import("./api.js").Room} Room */

export class RoomList {
  /**
   * @param {{list: HTMLElement, note: HTMLElement, more: HTMLButtonElement}} elements
   * @param {{me: string, onOpen: (id: string) => void, onChange: () => void, onError: (error: unknown) => void}} hooks
   */
  constructor({ list, note, more }, hooks) {
    this._list = list;
    this._note = note;
    this._more = more;
    this._hooks = hooks;
    /** @type {Room[]} */
    this._rooms = [];
    /** @type {string|null} */
    this._next = null;
    this._current = "";
    this._timer = 0;
    this._asked = 0;
    more.addEventListener("click", () => this._loadMore().catch(hooks.onError));
    list.addEventListener("click", (event) => this._onClick(event));
  }

  /** @param {string|null} id @returns {Room|undefined} */
  find(id) {
    return this._rooms.find((room) => room.id === id);
  }

  /** @param {string|null} id */
  setCurrent(id) {
    this._current = id ?? "";
    this._render();
  }

  /** Makes sure that `find` knows a room, if there is such a one. @param {string} id */
  async require(id) {
    if (this.find(id)) return;
    const room = await request(roomPath(id));
    if (!this.find(id)) this._rooms.push(room);
    this._render();
  }

  refreshSoon() {
    if (this._timer) return;
    this._timer = setTimeout(() => {
      this._timer = 0;
      this.refresh().catch(this._hooks.onError);
    }, GATHER_MS);
  }

  async refresh() {
    this._asked += 1;
    const mine = this._asked;
    const page = await request(roomsPath);
    if (mine !== this._asked) return; // asked again meanwhile
    const ids = new Set(page.results.map((/** @type {Room} */ room) => room.id));
    const oldest = page.results.at(-1);
    // What is older than this page stays; what should be on it and is not, is gone.
    const older = page.next && oldest ? this._rooms.filter((room) => !ids.has(room.id) && room.updated_at <= oldest.updated_at) : [];
    if (older.length === 0) this._next = page.next;
    this._rooms = [...page.results, ...older];
    this._render();
  }

  async _loadMore() {
    if (this._next === null) return;
    const page = await request(`${roomsPath}?cursor=${encodeURIComponent(this._next)}`);
    const ids = new Set(this._rooms.map((room) => room.id));
    this._rooms.push(...page.results.filter((/** @type {Room} */ room) => !ids.has(room.id)));
    this._next = page.next;
    this._render();
  }

  _render() {
    const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset.room : undefined;
    this._list.replaceChildren(...this._rooms.map((room) => this._rowOf(room)));
    if (focused) /** @type {HTMLElement|null} */ (this._list.querySelector(`[data-room="${CSS.escape(focused)}"]`))?.focus();
    this._note.textContent = this._rooms.length === 0 ? "You are in no room yet. Make one, or wait to be added to one." : "";
    this._more.hidden = this._next === null;
    this._hooks.onChange();
  }

  /** @param {Room} room */
  _rowOf(room) {
    const row = make("li");
    const link = make("a", "room");
    link.href = addressOf(room.id);
    link.dataset.room = room.id;
    const text = make("span", "room-text");
    text.append(make("span", "title", roomName(room, this._hooks.me)), make("span", "room-excerpt", excerptWords(room)));
    link.append(text);
    const isOpen = room.id === this._current;
    if (isOpen) link.setAttribute("aria-current", "page");
    if (room.unread > 0 && !(isOpen && document.visibilityState === "visible")) {
      const badge = make("span", "unread", unreadWords(room.unread));
      badge.append(make("span", "visually-hidden", " unread"));
      link.append(badge);
    }
    row.append(link);
    return row;
  }

  /** @param {MouseEvent} event */
  _onClick(event) {
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    // With a modifier it is the browser's: a new tab, a new window.
    if (!link || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    this._hooks.onOpen(link.dataset.room ?? "");
  }
}
