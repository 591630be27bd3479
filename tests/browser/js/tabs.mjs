/** What a browser gives to all tabs of an origin, for Node: Web Locks and localStorage. BroadcastChannel Node has itself. */

export class Locks {
  constructor() {
    /** @type {Map<string, {release: (error?: Error) => void}>} */
    this._held = new Map();
    /** @type {Map<string, Array<() => void>>} */
    this._waiting = new Map();
  }

  request(name, options, callback) {
    return new Promise((resolve, reject) => {
      const begin = () => {
        const holder = { steal: () => reject(new DOMException("Stolen.", "AbortError")) };
        this._held.set(name, holder);
        const over = () => {
          if (this._held.get(name) !== holder) return;
          this._held.delete(name);
          this._waiting.get(name)?.shift()?.();
        };
        Promise.resolve({ name }).then(callback).then((value) => (over(), resolve(value)), (error) => (over(), reject(error)));
      };
      if (options.steal) {
        this._held.get(name)?.steal();
        return begin();
      }
      if (options.signal?.aborted) return reject(options.signal.reason);
      if (!this._held.has(name)) return begin();
      const waiting = this._waiting.get(name) ?? this._waiting.set(name, []).get(name);
      const next = () => begin();
      waiting.push(next);
      options.signal?.addEventListener("abort", () => {
        const place = waiting.indexOf(next);
        if (place < 0) return;
        waiting.splice(place, 1);
        reject(options.signal.reason);
      });
      return undefined;
    });
  }
}

export class Storage {
  constructor() {
    this.items = new Map();
    this.written = [];
  }

  getItem(key) {
    return this.items.get(key) ?? null;
  }

  setItem(key, value) {
    this.items.set(key, value);
    this.written.push([key, value]);
  }

  removeItem(key) {
    this.items.delete(key);
  }
}

/** Makes this process look like one browser, with no tab open yet. */
export function newBrowser() {
  const storage = new Storage();
  Object.defineProperty(globalThis, "navigator", { value: { locks: new Locks() }, configurable: true, writable: true });
  Object.defineProperty(globalThis, "localStorage", { value: storage, configurable: true, writable: true });
  return storage;
}
