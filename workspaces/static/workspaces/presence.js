/** Who is here, as avatars with names. */

import { make } from "../events/elements.js";
import { hereWords, hue, initials } from "./words.js";

export class PresenceList {
  /** @param {{list: HTMLElement, note: HTMLElement}} elements @param {string} self  the user's own id */
  constructor({ list, note }, self) {
    this._list = list;
    this._note = note;
    this._self = self;
    /** @type {Map<string, string>} Names by user id, also of those who left: events tell of them. */
    this._names = new Map();
    /** @type {Set<string>} */
    this._here = new Set();
    this._count = 0;
  }

  /** @param {string} id */
  nameOf(id) {
    if (id === this._self) return "You";
    return this._names.get(id) || id;
  }

  /** @param {{user_id: string, username: string}[]} people */
  learn(people) {
    for (const { user_id: id, username } of people) if (username) this._names.set(id, username);
  }

  /** The whole state. @param {{members: {user_id: string, username: string}[], count: number}} state */
  set({ members, count }) {
    this.learn(members);
    this._here = new Set(members.map(({ user_id: id }) => id));
    this._count = count;
    this._show();
  }

  /** @param {{user_id: string, username: string}} user */
  add(user) {
    this.learn([user]);
    if (!this._here.has(user.user_id)) this._count += 1;
    this._here.add(user.user_id);
    this._show();
  }

  /** @param {string} id */
  remove(id) {
    if (!this._here.delete(id)) return;
    this._count -= 1;
    this._show();
  }

  /** Nothing is known while there is no connection. */
  forget() {
    this._list.dataset.stale = "true";
  }

  _show() {
    delete this._list.dataset.stale;
    const ids = [...this._here].sort((a, b) => Number(b === this._self) - Number(a === this._self) || this._nameFor(a).localeCompare(this._nameFor(b)));
    this._list.replaceChildren(...ids.map((id) => this._person(id)));
    const more = this._count - ids.length;
    if (more > 0) this._list.append(make("li", "person-more", `and ${more} more`));
    this._note.textContent = hereWords(this._count);
  }

  /** @param {string} id */
  _nameFor(id) {
    return this._names.get(id) || id;
  }

  /** @param {string} id */
  _person(id) {
    const row = make("li", "person");
    row.dataset.user = id;
    const avatar = make("span", "avatar", initials(this._nameFor(id)));
    avatar.style.setProperty("--hue", String(hue(id)));
    avatar.setAttribute("aria-hidden", "true");
    row.append(avatar, make("span", "person-name", this._nameFor(id)));
    if (id === this._self) row.append(make("span", "person-you", "you"));
    return row;
  }
}
