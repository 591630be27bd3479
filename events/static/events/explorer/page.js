/** The explorer: topics, and everything that the user's feed says, as it comes. */

import { byId, make } from "../elements.js";
import { request, RequestError } from "../requests.js";
import { feed } from "../shell.js";
import { failureWords } from "../words.js";
import { TopicPublishing, Topics } from "./topics.js";

/** @type {Intl.DateTimeFormatOptions} */
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 };
/** Older ones leave the page, so that a tab left open for days stays small. */
const MOST = 500;

class Explorer {
  constructor() {
    /** @type {{event: import("../feed.js").FeedEvent, row: HTMLElement, text: string}[]} Newest first. */
    this._shown = [];
    /** @type {import("../feed.js").FeedEvent[]} What came while it paused. */
    this._held = [];
    this._received = 0;
    this._isPaused = false;
    byId("pause").addEventListener("click", () => this._pause(!this._isPaused));
    byId("clear").addEventListener("click", () => this._clear());
    byId("filter").addEventListener("input", () => this._filter());
    feed.listen({
      onEvent: (event) => this._take(event),
      onState: () => this._showReader(),
      onStale: ({ reason }) => this._showStale(reason),
    });
  }

  /** @param {import("../feed.js").FeedEvent} event */
  _take(event) {
    this._received += 1;
    if (this._isPaused) {
      this._held.push(event);
      if (this._held.length > MOST) this._held.shift();
    } else this._show(event);
    this._showReader();
    this._showNote();
  }

  /** @param {import("../feed.js").FeedEvent} event */
  _show(event) {
    const entry = { event, row: rowOf(event), text: JSON.stringify(event).toLowerCase() };
    entry.row.hidden = !this._matches(entry.text);
    this._shown.unshift(entry);
    byId("events").prepend(entry.row);
    while (this._shown.length > MOST) this._shown.pop()?.row.remove();
  }

  /** @param {boolean} isPaused */
  _pause(isPaused) {
    this._isPaused = isPaused;
    byId("pause").setAttribute("aria-pressed", String(isPaused));
    for (const event of this._held.splice(0)) this._show(event);
    this._showNote();
  }

  _clear() {
    this._shown = [];
    this._held = [];
    byId("events").replaceChildren();
    byId("stale").hidden = true;
    this._showNote();
  }

  /** @param {string} text */
  _matches(text) {
    return text.includes(byId("filter").value.trim().toLowerCase());
  }

  _filter() {
    for (const { row, text } of this._shown) row.hidden = !this._matches(text);
    this._showNote();
  }

  _showReader() {
    byId("cursor").textContent = feed.cursor || "none yet";
    byId("holder").textContent = feed.isLeading ? "held by this tab, for all others" : "shared: another tab holds it";
    byId("received").textContent = String(this._received);
  }

  _showNote() {
    const waiting = this._held.length;
    const visible = this._shown.filter(({ row }) => !row.hidden).length;
    byId("pause").textContent = this._isPaused ? `Go on${waiting ? ` (${waiting} waiting)` : ""}` : "Pause";
    let words = "";
    if (this._shown.length === 0) words = this._received === 0 ? "Waiting for the first event. Ask something in a conversation, or add a source, in another tab." : "Waiting for the next event.";
    else if (visible === 0) words = `None of ${this._shown.length} events contains that.`;
    byId("note").textContent = words;
    byId("note").hidden = words === "";
  }

  /** @param {string} reason */
  _showStale(reason) {
    byId("stale").textContent = `Events are missing here: the server does not have all that came after this reader's cursor any more (${reason}). A page that shows state fetches it anew at this point.`;
    byId("stale").hidden = false;
  }
}

/** @param {import("../feed.js").FeedEvent} event */
function rowOf(event) {
  const row = make("li");
  row.dataset.id = event.id ?? "";
  const head = make("div", "event-head");
  const at = new Date(event.ts);
  const time = make("time", "event-time", Number.isNaN(at.getTime()) ? "" : at.toLocaleTimeString(undefined, CLOCK));
  time.dateTime = event.ts ?? "";
  head.append(make("span", "event-type", event.type), time, make("span", "event-id", event.id ?? "told again, without an id"));
  const { scope, payload } = event;
  const isScoped = scope && Object.keys(scope).length > 0;
  row.append(head, make("pre", "", JSON.stringify(isScoped ? { scope, payload } : payload, null, 2)));
  return row;
}

/** The form of those who may publish. */
class Publishing {
  /** @param {HTMLFormElement} form */
  constructor(form) {
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._publish();
    });
  }

  async _publish() {
    const payload = parseObject(byId("publish-payload").value);
    if (payload === null) return this._say("The payload must be a JSON object, such as {\"message\": \"Hello\"}.");
    byId("publish-send").disabled = true;
    try {
      const body = { user: byId("publish-user").value.trim(), type: byId("publish-type").value.trim(), payload };
      const { ids } = await request("/api/v1/events", { method: "POST", body });
      this._say("", ids[0] === null ? "Accepted, but this server sends no events." : `Published as ${ids[0]}.`);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      // The server names what is wrong with this very event; else the words for any request.
      this._say((error.detail.status === 404 && error.detail.message) || failureWords(error.detail).words);
    } finally {
      byId("publish-send").disabled = false;
    }
    return undefined;
  }

  /** @param {string} problem @param {string} [done] */
  _say(problem, done = "") {
    byId("publish-error").textContent = problem;
    byId("publish-error").hidden = problem === "";
    byId("publish-done").textContent = done;
  }
}

/** @param {string} text @returns {object|null} */
function parseObject(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" && !Array.isArray(value) ? value : null;
  } catch {
    return null;
  }
}

new Topics();
new TopicPublishing();
new Explorer();
const form = /** @type {HTMLFormElement|null} */ (document.getElementById("publish-form"));
if (form) new Publishing(form);
