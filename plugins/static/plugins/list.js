/** The list of executions, kept up to date by the feed; those of colleagues are asked for now and then. */

import { make, timeWords } from "../events/elements.js";
import { request } from "../events/requests.js";
import { spanWords, stateWords } from "./words.js";

/** @typedef {import("./words.js").Execution} Execution */

const PATH = "/api/v1/plugins/executions";
const REFRESH_MS = 10_000;

export class ExecutionList {
  /**
   * @param {{list: HTMLElement, note: HTMLElement, more: HTMLButtonElement}} elements
   * @param {{onChoose: (execution: Execution) => void, onError: (error: unknown, retry?: () => void) => void}} hooks
   */
  constructor({ list, note, more }, hooks) {
    this._list = list;
    this._note = note;
    this._more = more;
    this._hooks = hooks;
    /** @type {Map<string, {execution: Execution, row: HTMLElement}>} */
    this._rows = new Map();
    /** @type {string|null|undefined} */
    this._next = undefined;
    this._chosen = "";
    more.addEventListener("click", () => this._loadMore());
    setInterval(() => {
      if (document.visibilityState === "visible") this.refresh().catch(() => undefined); // the next one may reach the server again
    }, REFRESH_MS);
  }

  /** Fetches the newest anew; what is older stays. */
  async refresh() {
    const page = await request(PATH);
    if (this._next === undefined) this._next = page.next;
    for (const execution of page.results.reverse()) this.put(execution);
    this._show();
  }

  /** @param {string} id @returns {Promise<Execution>} */
  async find(id) {
    return this._rows.get(id)?.execution ?? (await request(`${PATH}/${encodeURIComponent(id)}`));
  }

  /** @param {import("../events/feed.js").FeedEvent} event */
  async hear(event) {
    if (!event.type.startsWith("plugin.execution.")) return;
    try {
      this.put(await request(`${PATH}/${encodeURIComponent(event.payload.execution_id)}`));
      this._show();
    } catch (error) {
      this._hooks.onError(error, () => this.hear(event));
    }
  }

  /** Marks the one that is shown. @param {string} id */
  choose(id) {
    this._chosen = id;
    for (const [each, { row }] of this._rows) mark(row, each === id);
  }

  /** @param {Execution} execution */
  put(execution) {
    const known = this._rows.get(execution.id);
    if (known && JSON.stringify(known.execution) === JSON.stringify(execution)) return;
    const row = known?.row ?? make("li", "run");
    const button = make("button", "run-button");
    button.type = "button";
    const state = make("span", "state", stateWords(execution.status));
    state.dataset.status = execution.status;
    const facts = [execution.plugin, timeWords(execution.created_at), spanWords(execution.started_at, execution.ended_at)];
    button.append(make("span", "run-name", execution.tool_name), state, make("span", "run-facts", facts.filter(Boolean).join(" · ")));
    button.addEventListener("click", () => this._hooks.onChoose(execution));
    const hadFocus = row.contains(document.activeElement);
    row.replaceChildren(button);
    row.dataset.id = execution.id;
    if (hadFocus) button.focus();
    this._rows.set(execution.id, { execution, row });
    mark(row, execution.id === this._chosen);
    if (!known) this._place(execution, row);
  }

  /** Newest first. @param {Execution} execution @param {HTMLElement} row */
  _place(execution, row) {
    const older = [...this._list.children].find((each) => {
      const other = this._rows.get(/** @type {HTMLElement} */ (each).dataset.id ?? "");
      return other !== undefined && other.execution.created_at < execution.created_at;
    });
    this._list.insertBefore(row, older ?? null);
  }

  async _loadMore() {
    this._more.disabled = true;
    try {
      const page = await request(`${PATH}?cursor=${encodeURIComponent(String(this._next))}`);
      this._next = page.next;
      for (const execution of page.results) this.put(execution);
      this._show();
    } catch (error) {
      this._hooks.onError(error, () => this._loadMore());
    } finally {
      this._more.disabled = false;
    }
  }

  _show() {
    this._note.hidden = this._rows.size > 0;
    this._note.textContent = "Nothing has run yet. When an answer calls a tool, or a plugin reports what it does, it appears here.";
    this._more.hidden = !this._next;
  }
}

/** @param {HTMLElement} row @param {boolean} isChosen */
function mark(row, isChosen) {
  const button = row.firstElementChild;
  if (isChosen) button?.setAttribute("aria-current", "true");
  else button?.removeAttribute("aria-current");
}
