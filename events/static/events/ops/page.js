/** Operations: asks every few seconds how the server is doing and who is connected, while somebody looks. */

import { byId, make, timeWords } from "../elements.js";
import { request, RequestError } from "../requests.js";
import { failureWords } from "../words.js";

const PAUSE_MS = 3000;
/** Above these, a number is shown as bad. */
const LATE_SECONDS = 5;

/**
 * @typedef {{id: string, user_id: string, session: string, path: string, transport: string, opened_at: number, process: string}} Connection
 */

class Operations {
  constructor() {
    this._user = "";
    this._cursor = "";
    /** @type {string|null} */
    this._next = null;
    /** What was asked last: an answer to an older question is dropped. */
    this._asked = 0;
    this._timer = 0;
    byId("filter-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this._show(byId("filter").value.trim());
    });
    byId("filter").addEventListener("search", () => byId("filter").value === "" && this._show(""));
    byId("older").addEventListener("click", () => this._turn(this._next ?? ""));
    byId("newest").addEventListener("click", () => this._turn(""));
    byId("end-user").addEventListener("click", () => this._endUser());
    byId("connections").addEventListener("click", (/** @type {Event} */ event) => this._onRow(/** @type {HTMLElement} */ (event.target)));
    document.addEventListener("visibilitychange", () => this._ask());
    this._ask();
  }

  /** @param {string} user */
  _show(user) {
    this._user = user;
    byId("filter").value = user;
    byId("end-user").hidden = user === "";
    this._turn("");
  }

  /** @param {string} cursor */
  _turn(cursor) {
    this._cursor = cursor;
    this._ask();
  }

  async _ask() {
    clearTimeout(this._timer);
    if (document.hidden) return;
    this._asked += 1;
    const asked = this._asked;
    const query = new URLSearchParams({ user: this._user, cursor: this._cursor });
    try {
      const [overview, page] = await Promise.all([request("/api/v1/ops"), request(`/api/v1/ops/connections?${query}`).catch(missing)]);
      if (asked !== this._asked) return;
      byId("notice").hidden = true;
      showOverview(overview);
      if (page) this._showConnections(page);
      else byId("note").textContent = "The broker is away: it is not known who is connected.";
    } catch (error) {
      if (asked !== this._asked) return;
      showFailure(error);
    }
    this._timer = setTimeout(() => this._ask(), PAUSE_MS);
  }

  /** @param {{results: Connection[], next: string|null}} page */
  _showConnections({ results, next }) {
    this._next = next;
    keepRows(byId("connections"), results, (each) => each.id, connectionRow);
    byId("connections-table").hidden = results.length === 0;
    byId("older").hidden = next === null;
    byId("newest").hidden = this._cursor === "";
    const whose = this._user ? ` of ${this._user}` : "";
    const more = next === null ? "" : ", and there are more";
    const where = this._cursor ? "older connections" : results.length === 1 ? "connection" : "connections";
    byId("note").textContent = results.length === 0 ? `No open connections${whose}.` : `${results.length} ${where}${whose}, the newest first${more}.`;
  }

  /** @param {HTMLElement} target */
  _onRow(target) {
    const row = /** @type {HTMLElement|null} */ (target.closest("tr"));
    if (target.closest("[data-user]")) this._show(row?.dataset.user ?? "");
    if (target.closest("[data-end]")) this._end(/** @type {HTMLButtonElement} */ (target.closest("button")), row?.dataset.id ?? "");
  }

  /** @param {HTMLButtonElement} button @param {string} id */
  async _end(button, id) {
    button.disabled = true;
    try {
      await request(`/api/v1/ops/connections/${encodeURIComponent(id)}`, { method: "DELETE" });
    } catch (error) {
      // It ended by itself a moment ago: that is what was wanted.
      if (!(error instanceof RequestError && error.detail.status === 404)) showFailure(error);
      button.disabled = false;
    }
    setTimeout(() => this._ask(), 500);
  }

  _endUser() {
    const user = this._user;
    const dialog = byId("end-dialog");
    byId("end-question").textContent = `Disconnect everything that ${user} has open?`;
    dialog.returnValue = "";
    dialog.showModal();
    dialog.onclose = async () => {
      if (dialog.returnValue !== "end") return;
      try {
        await request(`/api/v1/users/${encodeURIComponent(user)}/disconnect`, { method: "POST" });
      } catch (error) {
        showFailure(error);
      }
      setTimeout(() => this._ask(), 500);
    };
  }
}

/** No connections where the broker cannot be asked; other errors are the page's. @param {unknown} error */
function missing(error) {
  if (error instanceof RequestError && error.detail.reason === "busy") return null;
  throw error;
}

/** @param {unknown} error */
function showFailure(error) {
  if (!(error instanceof RequestError)) throw error;
  const { words, needsLogin } = failureWords(error.detail);
  byId("notice-words").textContent = words;
  byId("notice-login").hidden = !needsLogin;
  byId("notice").hidden = false;
}

/** @param {any} overview */
function showOverview({ parts, connections, processes, runs, lag }) {
  const names = Object.entries(parts);
  byId("parts").replaceChildren(
    ...names.map(([name, state]) => {
      const item = make("li", "", state === "ok" ? `${name} answers` : `${name}: ${state}`);
      item.dataset.state = state === "ok" ? "good" : "bad";
      return item;
    }),
  );
  say("sockets", connections?.total_connections);
  say("users", connections?.active_users);
  say("sessions", connections?.active_sessions);
  for (const status of ["queued", "running", "awaiting_approval"]) say(`runs-${status}`, runs?.[status]);
  say("journal-lag", lag.journal_seconds === null ? null : secondsWords(lag.journal_seconds), lag.journal_seconds > LATE_SECONDS);
  say("journal-events", lag.journal_events);
  keepRows(byId("processes"), processes, (/** @type {any} */ each) => each.process, processRow);
}

/** @param {string} id @param {string|number|null|undefined} value @param {boolean} [isBad] */
function say(id, value, isBad = false) {
  byId(id).textContent = value === null || value === undefined ? "–" : String(value);
  byId(id).dataset.state = isBad ? "bad" : "good";
}

/** @param {number} seconds */
function secondsWords(seconds) {
  return seconds < 1 ? `${Number((seconds * 1000).toFixed(seconds < 0.01 ? 1 : 0))} ms` : `${seconds.toFixed(1)} s`;
}

/**
 * Rows in the order of the items. Those that stay are kept, so that focus and selection survive the next answer.
 * @template T
 * @param {HTMLElement} body
 * @param {T[]} items
 * @param {(item: T) => string} idOf
 * @param {(item: T) => HTMLElement[]} cellsOf
 */
function keepRows(body, items, idOf, cellsOf) {
  const known = new Map([...body.children].map((row) => [/** @type {HTMLElement} */ (row).dataset.id, /** @type {HTMLElement} */ (row)]));
  items.forEach((item, place) => {
    const id = idOf(item);
    const told = JSON.stringify(item);
    let row = known.get(id);
    known.delete(id);
    if (!row) {
      row = make("tr");
      row.dataset.id = id;
    }
    if (row.dataset.told !== told) {
      row.dataset.told = told;
      row.dataset.user = /** @type {any} */ (item).user_id ?? "";
      row.replaceChildren(...cellsOf(item));
    }
    if (body.children[place] !== row) body.insertBefore(row, body.children[place] ?? null);
  });
  for (const row of known.values()) row.remove();
}

/** @param {any} facts */
function processRow({ process, started_at, connections, streams, lag, tasks, threads }) {
  return [
    make("td", "code", process),
    make("td", "time", timeWords(started_at)),
    ...[connections, streams, lag === null ? "–" : secondsWords(lag), tasks, threads].map((value) => make("td", "number", String(value))),
  ];
}

/** @param {Connection} connection */
function connectionRow({ user_id, session, path, transport, opened_at, process }) {
  const who = make("td");
  if (user_id) {
    const button = make("button", "link-button", user_id);
    button.type = "button";
    button.dataset.user = "";
    button.title = "Show only this user's connections";
    who.append(button);
  } else who.append(make("span", "hint", "nobody: no credentials asked"));
  const where = make("td", "", path);
  where.title = session;
  const action = make("td");
  const end = make("button", "quiet-button", "Disconnect");
  end.type = "button";
  end.dataset.end = "";
  action.append(end);
  const time = make("td", "time", timeWords(opened_at));
  return [who, where, make("td", "", transport === "ws" ? "socket" : "stream"), time, make("td", "code", process), action];
}

new Operations();
