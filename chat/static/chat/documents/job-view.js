/** A job: its progress, its review, and how it ended. It is told again from its beginning whenever the page is opened. */

import { byId, make } from "../../events/elements.js";
import { openStream } from "../../events/stream.js";
import { approvePath, cancelPath, request, streamPath } from "./api.js";
import { ChangeCard } from "./change-card.js";
import { isJobEnd, JobReader } from "./job-reader.js";

export class JobView {
  /** @param {{me: string, onEnd: (session: string) => void, onError: (error: unknown) => void, announce: (words: string) => void}} options */
  constructor({ me, onEnd, onError, announce }) {
    Object.assign(this, { me, onEnd, onError, announce });
    /** @type {Map<string, ChangeCard>} */
    this._cards = new Map();
    /** @type {import("../../events/stream.js").Stream|null} */
    this._stream = null;
    this.job = "";
    byId("approve-all").addEventListener("click", () => this._decide({ approved: true }));
    byId("deny-all").addEventListener("click", () => this._decide({ approved: false }));
    byId("cancel").addEventListener("click", () => this._cancel());
  }

  /** @param {string} session @param {string} job @param {string} question */
  show(session, job, question) {
    if (job === this.job && session === this._session) return;
    this.clear();
    this.job = job;
    this._session = session;
    byId("job").hidden = false;
    byId("job-question").textContent = question;
    byId("cancel").hidden = false;
    this._setState("Working…");
    const reader = new JobReader(this._sink());
    this._stream = openStream({
      url: streamPath(session, job),
      isTerminal: isJobEnd,
      onEvent: (event) => reader.take(event),
      onState: (state, detail) => state === "failed" && this._setState(detail.message || "The job cannot be followed."),
    });
  }

  clear() {
    this._stream?.close();
    this._stream = null;
    this.job = "";
    this._session = "";
    this._forget();
    byId("job").hidden = true;
  }

  _forget() {
    this._cards.clear();
    byId("changes").replaceChildren();
    byId("job-progress").replaceChildren();
    byId("review").hidden = true;
    byId("job-response").hidden = true;
    this.announce("");
  }

  /** @returns {import("./job-reader.js").JobSink} */
  _sink() {
    return {
      restart: () => this._forget(),
      addProgress: (text) => byId("job-progress").append(make("li", "", text)),
      addChange: (change) => this._addChange(change),
      setDecision: (decision) => this._setDecision(decision),
      setResult: (result) => this._end("Done", result.response),
      setError: (message) => this._end("Ended", message),
    };
  }

  /** @param {import("./job-reader.js").Change} change */
  _addChange(change) {
    const card = new ChangeCard(this.job, change, (approved, feedback) => this._decide({ approved, feedback, change_id: card.id }));
    this._cards.set(card.id, card);
    byId("changes").append(card.element);
    this._count();
    this.announce(`${this._open()} changes wait for you.`);
  }

  /** @param {import("./job-reader.js").Decision} decision */
  _setDecision(decision) {
    const card = this._cards.get(decision.change_id);
    if (card === undefined) return;
    card.setDecision(decision, this.me);
    if (decision.decided_by && decision.decided_by !== this.me) this.announce(`${decision.decided_by} has decided.`);
    this._count();
  }

  _open() {
    return [...this._cards.values()].filter((card) => card.isOpen).length;
  }

  _count() {
    const open = this._open();
    byId("review").hidden = this._cards.size === 0;
    byId("review-count").textContent = open === 0 ? "Everything is decided." : `${open} ${open === 1 ? "change waits" : "changes wait"} for you.`;
    byId("approve-all").hidden = byId("deny-all").hidden = open === 0;
    if (open > 0) this._setState("Waits for you");
    else if (this._cards.size > 0) this._setState("Working…");
  }

  /** @param {{approved: boolean, feedback?: string, change_id?: string}} verdict */
  async _decide(verdict) {
    const cards = verdict.change_id ? [this._cards.get(verdict.change_id)] : [...this._cards.values()];
    for (const card of cards) card?.setBusy(true);
    try {
      await request(approvePath(this._session), { method: "POST", body: { job_id: this.job, ...verdict } });
    } catch (error) {
      this.onError(error);
    } finally {
      // What was decided comes with the stream, whoever did it.
      for (const card of cards) card?.setBusy(false);
    }
  }

  async _cancel() {
    try {
      await request(cancelPath(this.job), { method: "POST" });
    } catch (error) {
      this.onError(error);
    }
  }

  /** @param {string} state @param {string} words */
  _end(state, words) {
    for (const card of this._cards.values()) card.close();
    this._setState(state);
    byId("cancel").hidden = true;
    byId("approve-all").hidden = byId("deny-all").hidden = true;
    byId("review-count").textContent = "";
    byId("job-response").textContent = words;
    byId("job-response").hidden = false;
    this.announce(words);
    this.onEnd(this._session);
  }

  /** @param {string} words */
  _setState(words) {
    byId("job-state").textContent = words;
  }
}
