/** Where a reader of a stream is: in this tab, and kept for the next one. No I/O but the storage that it is given. */

const ID = /^(\d+)(?:-(\d+))?$/;
/** How many ids a tab remembers: more than a backlog holds, so that one told anew is told to nobody twice. */
const REMEMBERED = 2000;

/**
 * Whether `id` comes after `other` in the same stream. Ids are `12` or `1732147200000-0`; what has another form cannot be
 * compared, and counts as later.
 * @param {string} id
 * @param {string} other
 */
export function isAfter(id, other) {
  const [left, right] = [ID.exec(id), ID.exec(other)];
  if (!left || !right) return true;
  const [high, low] = [BigInt(left[1]) - BigInt(right[1]), BigInt(left[2] ?? 0) - BigInt(right[2] ?? 0)];
  return high !== 0n ? high > 0n : low > 0n;
}

/** The milliseconds in an id such as `1732147200000-0`. @param {string} id */
export function timeOf(id) {
  return Number(ID.exec(id)?.[1] ?? Number.NaN);
}

/** What one tab has seen. */
export class Seen {
  constructor() {
    /** Id of the last event; "" before the first. */
    this.cursor = "";
    /** @type {Set<string>} */
    this._recent = new Set();
  }

  /** Whether an event is new here; it counts as seen from now on. @param {string} id */
  take(id) {
    if (this._recent.has(id) || (this.cursor !== "" && !isAfter(id, this.cursor))) return false;
    this.cursor = id;
    this._recent.add(id);
    if (this._recent.size > REMEMBERED) this._recent.delete(/** @type {string} */ (this._recent.values().next().value));
    return true;
  }

  /** Where this tab comes in: what another one had seen then. @param {string} cursor */
  join(cursor) {
    this.cursor ||= cursor;
  }

  /** Ids begin anew: the server did not know ours. What was seen stays seen. */
  rewind() {
    this.cursor = "";
  }
}

/**
 * The cursor that outlives the page, in `localStorage` (or something like it). It never goes backwards, also when two tabs
 * write it, except after `rewind`. Where nothing can be stored - a full disk, blocked cookies - it lives as long as the page.
 */
export class StoredCursor {
  /** @param {string} name @param {Storage|null} [storage] */
  constructor(name, storage = usableStorage()) {
    this._storage = storage;
    this._keys = { cursor: `${name}:cursor`, since: `${name}:since` };
    /** @type {Map<string, string>} */
    this._own = new Map();
    this._isRewound = false;
  }

  get cursor() {
    return this._get(this._keys.cursor);
  }

  /** Since when there are no events that nobody has seen, in ms of the server's clock; null once there is a cursor. */
  get since() {
    return this.cursor === "" ? Number(this._get(this._keys.since)) || null : null;
  }

  /** @param {number} serverTime */
  beginAt(serverTime) {
    if (this.cursor === "" && this.since === null) this._set(this._keys.since, String(serverTime));
  }

  /** @param {string} id */
  advance(id) {
    const before = this.cursor;
    if (before !== "" && !this._isRewound && !isAfter(id, before)) return;
    this._isRewound = false;
    this._set(this._keys.cursor, id);
  }

  /** The next id may be an earlier one. */
  rewind() {
    this._isRewound = true;
  }

  forget() {
    for (const key of Object.values(this._keys)) {
      this._own.delete(key);
      this._storage?.removeItem(key);
    }
  }

  /** @param {string} key */
  _get(key) {
    return this._storage?.getItem(key) ?? this._own.get(key) ?? "";
  }

  /** @param {string} key @param {string} value */
  _set(key, value) {
    this._own.set(key, value);
    try {
      this._storage?.setItem(key, value);
    } catch {
      this._storage = null; // full: from now on for this page only, and never an older value than ours
    }
  }
}

/** @returns {Storage|null} */
function usableStorage() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    return null; // reading the property throws where cookies are blocked
  }
}
