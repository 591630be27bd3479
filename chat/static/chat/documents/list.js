/** The sessions that have jobs: one for each document. */

import { byId, make, timeWords } from "../../events/elements.js";
import { request, sessionsPath } from "./api.js";

export class DocumentList {
  /** @param {{onError: (error: unknown) => void}} options */
  constructor({ onError }) {
    this._next = "";
    this._chosen = "";
    byId("documents-more").addEventListener("click", () => this._add(this._next).catch(onError));
  }

  async refresh() {
    await this._add("");
  }

  /** @param {string} id */
  choose(id) {
    this._chosen = id;
    for (const link of byId("documents").querySelectorAll("a")) {
      if (link.dataset.session === id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }

  /** @param {string} cursor */
  async _add(cursor) {
    const page = await request(sessionsPath(cursor));
    const rows = page.sessions.map(row);
    if (cursor === "") byId("documents").replaceChildren(...rows);
    else byId("documents").append(...rows);
    this._next = page.next;
    byId("documents-more").hidden = page.next === null;
    byId("documents-note").textContent = byId("documents").children.length === 0 ? "Nothing yet." : "";
    this.choose(this._chosen);
  }
}

/** @param {any} session */
function row(session) {
  const item = make("li");
  const link = make("a", "document-link");
  link.href = `#${session.id}`;
  link.dataset.session = session.id;
  link.append(make("span", "document-name", session.title || session.session_id), make("span", "document-time", timeWords(session.updated_at)));
  if (session.active_job_id) link.append(make("span", "document-open", "in progress"));
  item.append(link);
  return item;
}
