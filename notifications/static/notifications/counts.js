/** How many notifications are in each state: the same in every tab. */

import { request, RequestError } from "../events/requests.js";
import { feed } from "../events/shell.js";
import { coalesced } from "./coalesced.js";

export const notificationsPath = "/api/v1/notifications";

class LiveCounts {
  constructor() {
    /** @type {import("./words.js").Counts|null} Null: not known yet. */
    this.now = null;
    /** @type {Set<(counts: import("./words.js").Counts) => void>} */
    this._listeners = new Set();
    // Asked for after every change, though events carry counts: two that were made at once may arrive in either order.
    this.refresh = coalesced(() => this._fetch());
    feed.listen({
      onEvent: ({ type }) => void (type.startsWith("notification.") && this.refresh()),
      onStale: () => void this.refresh(),
      onState: (state) => void (state === "live" && this.refresh()),
    });
    this.refresh();
  }

  /** @param {(counts: import("./words.js").Counts) => void} listener */
  onChange(listener) {
    this._listeners.add(listener);
    if (this.now) listener(this.now);
  }

  async _fetch() {
    try {
      this.now = (await request(`${notificationsPath}/counts`)).counts;
    } catch (error) {
      // The line of the connection says what is wrong; when it is back, this is asked again.
      if (error instanceof RequestError) return;
      throw error;
    }
    for (const listener of this._listeners) listener(/** @type {import("./words.js").Counts} */ (this.now));
  }
}

export const counts = new LiveCounts();
