/** One tab of all that share a name leads; when it closes, the next one does. By Web Locks. */

export class Leadership {
  /**
   * @param {object} options
   * @param {string} options.name
   * @param {(signal: AbortSignal) => Promise<unknown>} options.lead  leads until it is over; `signal` says that another tab leads now,
   *   or that `stop` was called
   * @param {LockManager|undefined} [options.locks]  without one (plain http, old browsers) every tab leads
   */
  constructor({ name, lead, locks }) {
    this._name = name;
    this._lead = lead;
    this._locks = locks;
    /** @type {AbortController|null} The present candidacy. */
    this._candidacy = null;
    /** @type {AbortController|null} The candidacy that won. */
    this._leading = null;
  }

  /** Leads as soon as no other tab does. */
  start() {
    if (!this._candidacy) this._stand(false);
  }

  /** Leads at once; who led before - most likely a tab that the browser has frozen - stops. */
  take() {
    if (this.isLeading || !this._locks) return;
    this.stop();
    this._stand(true);
  }

  stop() {
    this._candidacy?.abort();
    this._candidacy = null;
  }

  /** @param {boolean} steal */
  _stand(steal) {
    const candidacy = new AbortController();
    this._candidacy = candidacy;
    const run = () => this._run(candidacy);
    if (!this._locks) {
      run();
      return;
    }
    const asked = this._locks.request(this._name, steal ? { steal: true } : { signal: candidacy.signal }, run);
    asked.catch((error) => {
      if (candidacy.signal.aborted) return; // `stop`, while it waited or led
      candidacy.abort();
      if (error.name !== "AbortError") this._locks = undefined; // none for this kind of page, such as one in a sandbox
      this._stand(false); // taken by another tab: wait for our turn again
    });
  }

  get isLeading() {
    return this._leading !== null && !this._leading.signal.aborted;
  }

  /** @param {AbortController} candidacy */
  async _run(candidacy) {
    if (candidacy.signal.aborted) return;
    this._leading = candidacy;
    try {
      await this._lead(candidacy.signal);
    } finally {
      if (this._candidacy === candidacy) this._candidacy = null;
      if (this._leading === candidacy) this._leading = null;
    }
  }
}
