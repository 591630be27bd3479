/** The list of notifications in one tab, as the server has it. */

import { request, RequestError } from "../events/requests.js";
import { coalesced } from "./coalesced.js";
import { notificationsPath } from "./counts.js";
import { NotificationRow } from "./row.js";
import { TABS } from "./words.js";

/** @typedef {import("./words.js").Notification} Notification */
/** @typedef {import("./words.js").Tab} Tab */

const actionsPath = `${notificationsPath}/actions`;

export class NotificationList {
  /**
   * @param {{list: HTMLElement, note: HTMLElement, more: HTMLButtonElement}} elements
   * @param {{onShown: () => void, onError: (error: unknown, retry?: () => void) => void}} hooks
   */
  constructor({ list, note, more }, hooks) {
    this._list = list;
    this._note = note;
    this._more = more;
    this._hooks = hooks;
    /** @type {Tab} */
    this._tab = "inbox";
    this._pages = 1;
    /** @type {Map<string, NotificationRow>} */
    this._rows = new Map();
    this.refresh = coalesced(() => this._refresh());
    more.addEventListener("click", () => {
      this._pages += 1;
      this.refresh();
    });
    document.addEventListener("visibilitychange", () => this._markSeen());
  }

  get size() {
    return this._rows.size;
  }

  /** @param {Tab} tab */
  open(tab) {
    this._tab = tab;
    this._pages = 1;
    this._rows.clear();
    this._list.replaceChildren();
    this._more.hidden = true;
    this._note.textContent = "Loading…";
    return this.refresh();
  }

  /**
   * Does something with one notification.
   * @param {string} action @param {string} id
   */
  async act(action, id) {
    const row = this._rows.get(id);
    row?.setBusy(true);
    try {
      await request(`${notificationsPath}/${encodeURIComponent(id)}/${action}`, { method: "POST" });
    } catch (error) {
      // Gone in between: the list will show that.
      if (!(error instanceof RequestError && error.detail.reason === "not_found")) this._hooks.onError(error, () => this.act(action, id));
    } finally {
      row?.setBusy(false);
    }
    await this.refresh();
  }

  /** Does what the tab offers for all, but not with what arrived after its newest. */
  async actOnAll() {
    const { action, state } = TABS[this._tab].all;
    const until = [...this._rows.values()][0]?.notification?.created_at;
    try {
      await request(actionsPath, { method: "POST", body: { action, all: true, state, until } });
    } catch (error) {
      this._hooks.onError(error, () => this.actOnAll());
    }
    await this.refresh();
  }

  /** Fetches all that is shown anew. */
  async _refresh() {
    const tab = this._tab;
    try {
      const { found, next } = await this._fetch(tab);
      if (tab !== this._tab) return; // another was opened meanwhile; its own fetch follows
      this._show(found, next);
    } catch (error) {
      this._hooks.onError(error, () => this.refresh());
    }
  }

  /** @param {Tab} tab @returns {Promise<{found: Notification[], next: string|null}>} */
  async _fetch(tab) {
    /** @type {Notification[]} */
    const found = [];
    /** @type {string|null} */
    let next = "";
    for (let page = 0; page < this._pages && next !== null; page += 1) {
      /** @type {any} */
      const answer = await request(`${notificationsPath}?state=${TABS[tab].state}&cursor=${encodeURIComponent(next)}`);
      found.push(...answer.results);
      next = answer.next;
    }
    return { found, next };
  }

  /** @param {Notification[]} found @param {string|null} next */
  _show(found, next) {
    const rows = new Map(found.map((each) => [each.id, this._rows.get(each.id) ?? this._newRow(each)]));
    const successor = this._successorOfFocused(rows);
    for (const [id, row] of this._rows) if (!rows.has(id)) row.element.remove();
    let before = /** @type {Element|null} */ (this._list.firstElementChild);
    for (const { element } of rows.values()) {
      if (element === before) before = element.nextElementSibling;
      else this._list.insertBefore(element, before);
    }
    this._rows = rows;
    for (const each of found) rows.get(each.id)?.update(each);
    successor?.focus();
    this._more.hidden = next === null;
    this._note.textContent = rows.size === 0 ? TABS[this._tab].empty : "";
    this._hooks.onShown();
    this._markSeen();
  }

  /** The row at which the keyboard goes on when the one it is at goes away. @param {Map<string, NotificationRow>} rows */
  _successorOfFocused(rows) {
    const old = [...this._rows];
    const at = old.findIndex(([, { element }]) => element.contains(document.activeElement));
    if (at < 0 || rows.has(old[at][0])) return undefined;
    const [id] = [...old.slice(at + 1), ...old.slice(0, at).reverse()].find(([each]) => rows.has(each)) ?? [""];
    return rows.get(id);
  }

  /** @param {Notification} notification */
  _newRow(notification) {
    const { id } = notification;
    return new NotificationRow(notification, {
      onAction: (action) => this.act(action, id),
      onFollow: () => this._readOnTheWay(id),
    });
  }

  /** Who follows it has read it. The page may be gone before that is answered. @param {string} id */
  _readOnTheWay(id) {
    request(`${notificationsPath}/${encodeURIComponent(id)}/read`, { method: "POST", keepalive: true }).catch(() => undefined);
  }

  /** What is before the reader's eyes is seen. */
  async _markSeen() {
    if (document.visibilityState !== "visible") return;
    const ids = [...this._rows.values()].filter(({ notification }) => notification?.state === "unseen").map(({ notification }) => /** @type {Notification} */ (notification).id);
    for (const id of ids) {
      const row = this._rows.get(id);
      if (row?.notification) row.notification = { ...row.notification, state: "seen" };
    }
    for (let at = 0; at < ids.length; at += 100) {
      // When it fails, the next fetch finds them unseen again, and they are told again.
      await request(actionsPath, { method: "POST", body: { action: "seen", ids: ids.slice(at, at + 100) } }).catch(() => undefined);
    }
  }
}
