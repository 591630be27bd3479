/** What is known of one execution, from the frames that told it. No DOM: also tested in Node. */

/** @typedef {{id: string, name: string, status: string, depth: number, ms: number|undefined, error: string}} Step */

export class Record {
  constructor() {
    /** @type {any} */
    this.info = null;
    /** The last frame's place: where a new connection goes on. */
    this.seq = 0;
    this.status = "";
    /** When the first event was recorded. */
    this.began = "";
    /** @type {Map<string, Step>} */
    this.steps = new Map();
    /** @type {Map<string, unknown>} The last value of each. */
    this.variables = new Map();
    /** @type {any[]} */
    this.calls = [];
    /** @type {any} The frame that ended it. */
    this.end = null;
    /** Whether events are missing. */
    this.hasGap = false;
  }

  /**
   * Takes a frame of the socket.
   * @param {any} frame
   * @returns {any[]} the frames that are new and belong on the console, in order
   */
  take(frame) {
    if (frame.type === "execution_info") {
      this.info = frame.data;
      if (this.end === null) this.status = frame.data.status;
      return [];
    }
    if (frame.type === "backlog.truncated") {
      this.hasGap = true;
      return [];
    }
    const told = frame.type === "debug_data" ? frame.data.events : [frame];
    return told.filter((/** @type {any} */ each) => this._add(each));
  }

  /** @param {any} frame @returns {boolean} */
  _add(frame) {
    // Frames without a place are about the connection; one that is known was told again.
    if (typeof frame.seq !== "number" || frame.seq <= this.seq) return false;
    this.seq = frame.seq;
    this.began ||= frame.timestamp;
    const data = frame.data ?? {};
    if (this.status === "pending") this.status = "running";
    if (frame.type === "step") this._step(data);
    else if (frame.type === "variable") this.variables.set(String(data.name), data.value);
    else if (frame.type === "api_call") this.calls.push(data);
    else if (frame.type === "execution_complete" || frame.type === "execution_error") {
      this.end = frame;
      this.status = frame.type === "execution_complete" ? "completed" : data.unknown === true ? "unknown" : "failed";
    }
    return true;
  }

  /** @param {any} data */
  _step(data) {
    // Plugins of other people may not number their steps: then a name is a step.
    const id = String(data.step_id ?? data.name);
    const parent = this.steps.get(String(data.parent_id ?? ""));
    const known = this.steps.get(id);
    this.steps.set(id, {
      id,
      name: String(data.name),
      status: String(data.status ?? "completed"),
      depth: known?.depth ?? (parent ? parent.depth + 1 : 0),
      ms: data.duration_ms,
      error: data.error === undefined ? "" : String(data.error),
    });
  }
}
