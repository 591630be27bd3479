/** The console: one execution, live or afterwards. */

import { byId, make, timeWords } from "../events/elements.js";
import { request } from "../events/requests.js";
import { ResumingSocket } from "../events/socket.js";
import { Record } from "./record.js";
import { callWords, isOpen, lineOf, spanWords, stateWords, tookWords, valueText } from "./words.js";

/** Lines that are kept on the page; what came before is in the API. */
const MOST_LINES = 2000;
const LIVE = new Map([
  ["connecting", "Connecting…"],
  ["live", "Live"],
  ["reconnecting", "Connection lost. Trying again…"],
]);

export class Console {
  /** @param {{onError: (error: unknown, retry?: () => void) => void, announce: (words: string) => void}} hooks */
  constructor(hooks) {
    this._hooks = hooks;
    /** @type {ResumingSocket|undefined} */
    this._socket = undefined;
    this._record = new Record();
    /** @type {string} */
    this.id = "";
    /** @type {number|undefined} */
    this._due = undefined;
    /** @type {any[]} */
    this._fresh = [];
  }

  /** Shows nothing. */
  clear() {
    this._socket?.close();
    this.id = "";
    byId("console-empty").hidden = false;
    byId("console-body").hidden = true;
  }

  /** @param {import("./words.js").Execution} execution */
  show(execution) {
    if (execution.id === this.id) return;
    this._socket?.close();
    this.id = execution.id;
    this._record = new Record();
    this._fresh = [];
    this._execution = execution;
    for (const id of ["lines", "steps", "variables", "calls", "console-facts"]) byId(id).replaceChildren();
    byId("console-empty").hidden = true;
    byId("console-body").hidden = false;
    byId("console-title").textContent = execution.tool_name;
    this._record.status = execution.status;
    this._draw();
    const record = this._record;
    this._socket = new ResumingSocket({
      path: `/api/v1/ws/plugin/debug/${encodeURIComponent(execution.id)}`,
      cursor: "",
      greeting: "execution_info",
      place: "seq",
      onFrame: (frame) => this._take(record, frame),
      onState: (state) => this._setLive(record, state),
    });
  }

  /** @param {Record} record @param {any} frame */
  _take(record, frame) {
    if (record !== this._record) return;
    const before = record.status;
    this._fresh.push(...record.take(frame));
    if (isOpen(before) && !isOpen(record.status)) this._hooks.announce(`${this._execution?.tool_name}: ${stateWords(record.status)}.`);
    // Thousands of frames may come at once; people see sixty pictures a second.
    this._due ??= requestAnimationFrame(() => {
      this._due = undefined;
      this._draw();
    });
  }

  /** @param {Record} record @param {import("../events/stream.js").StreamState} state */
  _setLive(record, state) {
    if (record !== this._record) return;
    this._state = state;
    if (state === "failed") this._fetch(record);
    this._draw();
  }

  /** The socket is open for a day; the API tells what is kept longer. @param {Record} record */
  async _fetch(record) {
    try {
      for (;;) {
        const page = await request(`/api/v1/plugins/executions/${encodeURIComponent(this.id)}/events?since=${record.seq}`);
        if (record !== this._record || page.events.length === 0) return;
        this._take(record, { type: "debug_data", data: page });
      }
    } catch (error) {
      if (record === this._record) this._hooks.onError(error, () => this._fetch(record));
    }
  }

  _draw() {
    const record = this._record;
    const state = byId("console-state");
    state.textContent = stateWords(record.status);
    state.dataset.status = record.status;
    byId("console-live").textContent = isOpen(record.status) ? (LIVE.get(this._state ?? "") ?? "") : "";
    byId("console-gap").hidden = !record.hasGap;
    this._drawFacts();
    this._drawOutcome();
    this._drawSteps();
    this._drawVariables();
    this._drawCalls();
    this._drawLines();
  }

  _drawFacts() {
    const { info } = this._record;
    const execution = this._execution;
    if (!execution) return;
    const end = this._record.end?.timestamp ?? info?.ended_at ?? execution.ended_at;
    const began = info?.started_at ?? execution.started_at ?? (this._record.began || null);
    const facts = new Map([
      ["Plugin", execution.plugin],
      ["Began", timeWords(execution.created_at)],
      ["Took", spanWords(began, end)],
      ["Input", valueText(execution.input)],
    ]);
    const parts = [...facts].filter(([, value]) => value !== "" && value !== "{}").map(([name, value]) => pair(name, value, name === "Input"));
    byId("console-facts").replaceChildren(...parts);
  }

  _drawOutcome() {
    const { end } = this._record;
    const kept = this._execution;
    const failed = end ? end.type === "execution_error" : Boolean(kept?.error);
    const value = end ? (failed ? end.data.error : end.data.result) : failed ? kept?.error : kept?.result;
    const box = byId("outcome");
    box.hidden = value === undefined || value === null || isOpen(this._record.status);
    box.dataset.failed = String(failed);
    byId("outcome-title").textContent = failed ? "Error" : "Result";
    byId("outcome-text").textContent = valueText(value ?? "");
  }

  _drawSteps() {
    const rows = [...this._record.steps.values()].map((step) => {
      const row = make("li", "step");
      row.dataset.status = step.status;
      row.style.setProperty("--depth", String(Math.min(step.depth, 8)));
      row.append(make("span", "step-name", step.name), make("span", "step-state", step.status), make("span", "step-took", tookWords(step.ms)));
      if (step.error) row.append(make("p", "step-error", step.error));
      return row;
    });
    fill("steps", rows);
  }

  _drawVariables() {
    fill("variables", [...this._record.variables].map(([name, value]) => pair(name, valueText(value), true)));
  }

  _drawCalls() {
    const rows = this._record.calls.map((call) => {
      const row = make("li", "call", callWords(call));
      row.dataset.failed = String(Boolean(call.error) || call.status >= 400);
      return row;
    });
    fill("calls", rows);
  }

  _drawLines() {
    const list = byId("lines");
    const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    const rows = this._fresh.splice(0).slice(-MOST_LINES).map((frame) => {
      const { kind, level, words } = lineOf(frame);
      const row = make("li", "line");
      row.dataset.level = level;
      const time = make("time", "line-time", new Date(frame.timestamp).toLocaleTimeString());
      time.dateTime = frame.timestamp;
      row.append(time, make("span", "line-kind", kind), make("span", "line-words", words));
      return row;
    });
    list.append(...rows);
    while (list.childElementCount > MOST_LINES) list.firstElementChild?.remove();
    byId("lines-none").hidden = list.childElementCount > 0;
    list.hidden = list.childElementCount === 0;
    if (atEnd) list.scrollTop = list.scrollHeight;
  }
}

/** @param {string} id @param {HTMLElement[]} rows */
function fill(id, rows) {
  byId(id).replaceChildren(...rows);
  byId(id).hidden = rows.length === 0;
  byId(`${id}-none`).hidden = rows.length > 0;
}

/** @param {string} name @param {string} value @param {boolean} isCode */
function pair(name, value, isCode) {
  const row = make("div", "pair");
  row.append(make("dt", "", name), make("dd", isCode ? "code" : "", value));
  return row;
}
