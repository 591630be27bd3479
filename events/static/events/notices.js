/**
 * What a user has been told of lately: shared by all tabs, kept for a week, and shown as a toast by exactly one of them.
 *
 * In IndexedDB, because its transactions are the only thing in a browser that all tabs see in one order. Where there is none
 * (blocked, or a private window of an old browser) each tab keeps its own, and may show what another has shown.
 */

/**
 * @typedef {object} Notice
 * @property {string} id  the event's
 * @property {number} at  when, in ms since 1970
 * @property {string} title
 * @property {string} text
 * @property {string} href  a path of this server, or ""
 * @property {"info"|"good"|"bad"} tone
 * @property {string} [inbox]  the notification in the user's inbox that it tells of
 */

/** @typedef {Notice & {shown: boolean, takenAt: number, seen: boolean}} KeptNotice */

const WEEK_MS = 7 * 24 * 3600 * 1000;
/** A tab that took a notice and has not shown it by then has closed in between. */
export const TAKEN_MS = 3000;

export class Notices {
  /** @param {string} user */
  constructor(user) {
    const name = `throughline-notices:${user}`;
    /** @type {Promise<Rows>} */
    this._rows = openRows(name);
    this._channel = globalThis.BroadcastChannel ? new BroadcastChannel(name) : null;
    /** @type {Set<() => void>} */
    this._listeners = new Set();
    if (this._channel) this._channel.onmessage = () => this._tell();
  }

  /** Calls `listener` when anything has changed, in whichever tab. @param {() => void} listener */
  onChange(listener) {
    this._listeners.add(listener);
  }

  /**
   * Keeps a notice; one that is there already stays as it is, but may be seen from now on.
   * @param {Notice} notice
   * @param {boolean} [isSeen]  what it tells of is before the reader's eyes
   */
  async keep(notice, isSeen = false) {
    const isChanged = await this._write((rows) => {
      const there = rows.get(notice.id);
      if (there && (there.seen || !isSeen)) return false;
      for (const row of rows.all()) if (row.at < Date.now() - WEEK_MS) rows.delete(row.id);
      rows.put({ ...notice, takenAt: 0, ...there, shown: isSeen, seen: isSeen });
      return true;
    });
    if (isChanged) this._changed();
  }

  /**
   * The notices that this tab - and no other - is to show now, oldest first; it says `shown` when it has.
   * @param {number} room  how many it has place for
   * @param {number} many  more than this are all given at once: to be shown as one
   * @returns {Promise<Notice[]>}
   */
  async take(room, many) {
    return this._write((rows) => {
      const free = rows.all().filter((row) => !row.shown && row.takenAt < Date.now() - TAKEN_MS);
      const taken = free.length > many ? free : free.slice(0, room);
      for (const row of taken) rows.put({ ...row, takenAt: Date.now() });
      return taken;
    });
  }

  /** How many wait to be shown, those included that a tab has taken and not yet shown. */
  async waiting() {
    return (await this.list()).filter((row) => !row.shown).length;
  }

  /** @param {string[]} ids */
  async shown(ids) {
    await this._mark(ids, { shown: true });
  }

  /** Also those that nobody has shown: who has seen a notice needs no toast of it. @param {string[]} ids */
  async seen(ids) {
    await this._mark(ids, { shown: true, seen: true });
  }

  /** @returns {Promise<KeptNotice[]>} newest first */
  async list() {
    return (await this._write((rows) => rows.all())).reverse();
  }

  async clear() {
    await this._write((rows) => rows.clear());
    this._changed();
  }

  /** @param {string[]} ids @param {Partial<KeptNotice>} change */
  async _mark(ids, change) {
    if (ids.length === 0) return;
    await this._write((rows) => {
      for (const id of ids) {
        const row = rows.get(id);
        if (row) rows.put({ ...row, ...change });
      }
    });
    this._changed();
  }

  /** Runs `work` while no other tab can change anything. @template T @param {(rows: View) => T} work @returns {Promise<T>} */
  async _write(work) {
    return (await this._rows).write(work);
  }

  _changed() {
    this._channel?.postMessage("changed");
    this._tell();
  }

  _tell() {
    for (const listener of this._listeners) listener();
  }
}

/** All rows, oldest first, as they are within one transaction. */
class View {
  /** @param {KeptNotice[]} rows */
  constructor(rows) {
    this._rows = new Map(rows.map((row) => [row.id, row]));
    /** @type {Map<string, KeptNotice|null>} What is to be written; null: deleted. */
    this.changes = new Map();
  }

  /** @param {string} id */
  get(id) {
    return this._rows.get(id);
  }

  all() {
    return [...this._rows.values()].sort((left, right) => left.at - right.at || (left.id < right.id ? -1 : 1));
  }

  /** @param {KeptNotice} row */
  put(row) {
    this._rows.set(row.id, row);
    this.changes.set(row.id, row);
  }

  /** @param {string} id */
  delete(id) {
    this._rows.delete(id);
    this.changes.set(id, null);
  }

  clear() {
    for (const id of [...this._rows.keys()]) this.delete(id);
  }
}

/** @typedef {{write: <T>(work: (rows: View) => T) => Promise<T>}} Rows */

/** @param {string} name @returns {Promise<Rows>} */
async function openRows(name) {
  try {
    return new DatabaseRows(await openDatabase(name));
  } catch {
    return new MemoryRows();
  }
}

/** @param {string} name @returns {Promise<IDBDatabase>} */
function openDatabase(name) {
  return new Promise((resolve, reject) => {
    const opening = globalThis.indexedDB.open(name, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore("notices", { keyPath: "id" });
    opening.onsuccess = () => {
      // Another tab deletes it: let it, and not wait for us.
      opening.result.onversionchange = () => opening.result.close();
      resolve(opening.result);
    };
    opening.onerror = () => reject(opening.error);
  });
}

class DatabaseRows {
  /** @param {IDBDatabase} database */
  constructor(database) {
    this._database = database;
  }

  /** @template T @param {(rows: View) => T} work @returns {Promise<T>} */
  write(work) {
    return new Promise((resolve, reject) => {
      const transaction = this._database.transaction("notices", "readwrite");
      const store = transaction.objectStore("notices");
      /** @type {T} */
      let result;
      const reading = store.getAll();
      reading.onsuccess = () => {
        const view = new View(reading.result);
        result = work(view);
        for (const [id, row] of view.changes) row === null ? store.delete(id) : store.put(row);
      };
      transaction.oncomplete = () => resolve(result);
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

class MemoryRows {
  constructor() {
    /** @type {KeptNotice[]} */
    this._rows = [];
  }

  /** @template T @param {(rows: View) => T} work @returns {Promise<T>} */
  async write(work) {
    const view = new View(this._rows);
    const result = work(view);
    this._rows = view.all();
    return result;
  }
}
