/** The explorer's topics: a pattern, what it matches from the beginning of what is kept, and what comes. */

import { byId, make } from "../elements.js";
import { request, RequestError } from "../requests.js";
import { failureWords } from "../words.js";

/** Older ones leave the page. */
const MOST = 500;

/** One subscription at a time. The browser's own EventSource comes back by itself, with its cursor. */
export class Topics {
  constructor() {
    /** @type {EventSource|undefined} */
    this._source = undefined;
    byId("topic-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this._begin();
    });
    byId("topic-stop").addEventListener("click", () => this._end("Stopped."));
    addEventListener("pagehide", () => this._source?.close());
  }

  _begin() {
    this._end("Connecting…");
    byId("topic-events").replaceChildren();
    const query = new URLSearchParams();
    for (const topic of byId("topic-pattern").value.split(/\s+/).filter(Boolean)) query.append("topic", topic);
    if (byId("topic-history").checked) query.set("since", "0-0");
    const source = new EventSource(`/api/topics?${query}`);
    this._source = source;
    byId("topic-stop").disabled = false;
    source.addEventListener("message", ({ data }) => this._take(JSON.parse(data)));
    source.addEventListener("error", (event) => this._fail(source, event));
  }

  /** @param {any} frame */
  _take(frame) {
    if (frame.type === "subscribed") this._say(`Listening to ${frame.topics.join(" and ")}.`);
    if (frame.type === "backlog.truncated") this._say(`Older events are no longer kept (${frame.reason}).`);
    if (frame.cursor ?? frame.id) byId("topic-cursor").textContent = frame.cursor ?? frame.id;
    if (frame.type !== "event") return;
    const list = byId("topic-events");
    list.prepend(rowOf(frame));
    while (list.children.length > MOST) list.lastElementChild?.remove();
  }

  /** @param {EventSource} source @param {Event} event */
  _fail(source, event) {
    if (source !== this._source) return;
    // The server's own `error` event, about one pattern, carries data; the browser's, about the line, none.
    if (event instanceof MessageEvent) this._complain(JSON.parse(event.data).message);
    else if (source.readyState === EventSource.CLOSED) this._explain();
    else this._say("Coming back…");
  }

  /** An EventSource does not tell why it was refused: the same address does. */
  async _explain() {
    const address = this._source?.url ?? "";
    this._end("");
    const left = new AbortController();
    const response = await fetch(address, { signal: left.signal }).catch(() => undefined);
    if (!response) return this._complain("The server cannot be reached.");
    if (response.ok) left.abort();
    else this._complain((await response.json()).message);
    return undefined;
  }

  /** @param {string} words */
  _end(words) {
    this._source?.close();
    this._source = undefined;
    byId("topic-stop").disabled = true;
    byId("topic-error").hidden = true;
    this._say(words);
  }

  /** @param {string} words */
  _say(words) {
    byId("topic-note").textContent = words;
  }

  /** @param {string} words */
  _complain(words) {
    byId("topic-error").textContent = words;
    byId("topic-error").hidden = false;
  }
}

/** The form that publishes a test event on a topic. */
export class TopicPublishing {
  constructor() {
    byId("topic-publish-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this._publish();
    });
  }

  async _publish() {
    byId("topic-publish-send").disabled = true;
    try {
      const body = { topic: byId("topic-publish-topic").value.trim(), payload: { message: byId("topic-publish-message").value } };
      const { results } = await request("/api/v1/topics/publish", { method: "POST", body });
      this._say("", `Published as ${results[0].id}.`);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      this._say(error.detail.message || failureWords(error.detail).words);
    } finally {
      byId("topic-publish-send").disabled = false;
    }
  }

  /** @param {string} problem @param {string} [done] */
  _say(problem, done = "") {
    byId("topic-publish-error").textContent = problem;
    byId("topic-publish-error").hidden = problem === "";
    byId("topic-publish-done").textContent = done;
  }
}

/** @param {{topic: string, id: string, event: {timestamp: string, payload: object}}} frame */
function rowOf({ topic, id, event }) {
  const row = make("li");
  row.dataset.id = id;
  const head = make("div", "event-head");
  const time = make("time", "event-time", new Date(event.timestamp).toLocaleTimeString());
  time.dateTime = event.timestamp;
  head.append(make("span", "event-type", topic), time, make("span", "event-id", id));
  row.append(head, make("pre", "", JSON.stringify(event.payload, null, 2)));
  return row;
}
