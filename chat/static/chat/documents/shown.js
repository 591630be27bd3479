/** The document as it is now, and its versions, each to be gone back to. */

import { byId, make, timeWords } from "../../events/elements.js";
import { request, RequestError, sessionPath, versionPath } from "./api.js";

export class ShownDocument {
  /** @param {{onError: (error: unknown) => void}} options */
  constructor({ onError }) {
    this.onError = onError;
    this._session = "";
    this._html = "";
    /** @type {number|null} */
    this._older = null;
    /** The number of the last `show`: of two at once the later counts. */
    this._asked = 0;
    byId("versions-more").addEventListener("click", () => this._addVersions().catch(onError));
    byId("download").addEventListener("click", () => this._download());
  }

  /** Whether the session has a document. @param {string} session @returns {Promise<boolean>} */
  async show(session) {
    this._session = session;
    this._asked += 1;
    const asked = this._asked;
    let found;
    try {
      found = await request(`${sessionPath(session)}/document`);
    } catch (error) {
      if (!(error instanceof RequestError) || error.detail.reason !== "not_found") throw error;
      this.clear();
      return false;
    }
    const page = await request(`${sessionPath(session)}/versions`);
    if (this._asked !== asked) return true;
    this._html = found.updated_html;
    byId("shown").hidden = false;
    const frame = byId("document-frame");
    const address = versionPath(found.version_id);
    if (frame.getAttribute("src") !== address) frame.src = address;
    this._current = found.number;
    byId("versions").replaceChildren();
    this._add(page);
    return true;
  }

  clear() {
    this._asked += 1;
    this._session = "";
    byId("shown").hidden = true;
    byId("document-frame").removeAttribute("src");
  }

  async _addVersions() {
    const asked = this._asked;
    const page = await request(`${sessionPath(this._session)}/versions?before=${this._older}`);
    if (this._asked === asked) this._add(page);
  }

  /** @param {{versions: any[], next: number|null}} page */
  _add(page) {
    this._older = page.next;
    byId("versions").append(...page.versions.map((row) => this._row(row)));
    byId("versions-more").hidden = page.next === null;
  }

  /** @param {any} version */
  _row(version) {
    const row = make("li", "version");
    row.value = version.number;
    row.append(make("span", "version-words", version.changes_summary), make("time", "version-time", timeWords(version.created_at)));
    if (version.number === this._current) {
      row.append(make("span", "version-now", "shown"));
      return row;
    }
    const back = make("button", "link-button", "Go back to this");
    back.type = "button";
    back.setAttribute("aria-label", `Go back to version ${version.number}`);
    back.addEventListener("click", async () => {
      back.disabled = true;
      try {
        await request(`${sessionPath(this._session)}/revert`, { method: "POST", body: { version_id: version.version_id } });
        await this.show(this._session);
      } catch (error) {
        back.disabled = false;
        this.onError(error);
      }
    });
    row.append(back);
    return row;
  }

  _download() {
    const link = make("a");
    link.href = URL.createObjectURL(new Blob([this._html], { type: "text/html" }));
    link.download = "document.html";
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
