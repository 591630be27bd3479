/** The document as it is now, and its versions, each to be gone back to. */

import { byId, make, timeWords } from "../../events/elements.js";
import { request, RequestError, sessionPath, versionPath } from "./api.js";

export class ShownDocument {
  /** @param {{onError: (error: unknown) => void}} options */
  constructor({ onError }) {
    this.onError = onError;
    this._session = "";
    this._html = "";
    this._older = null;
    byId("versions-more").addEventListener("click", () => this._addVersions().catch(onError));
    byId("download").addEventListener("click", () => this._download());
  }

  /** Whether the session has a document. @param {string} session @returns {Promise<boolean>} */
  async show(session) {
    this._session = session;
    let found;
    try {
      found = await request(`${sessionPath(session)}/document`);
    } catch (error) {
      if (!(error instanceof RequestError) || error.detail.reason !== "not_found") throw error;
      this.clear();
      return false;
    }
    if (this._session !== session) return true;
    this._html = found.updated_html;
    byId("shown").hidden = false;
    byId("document-frame").src = versionPath(found.version_id);
    this._current = found.number;
    this._older = null;
    byId("versions").replaceChildren();
    await this._addVersions();
    return true;
  }

  clear() {
    this._session = "";
    byId("shown").hidden = true;
    byId("document-frame").removeAttribute("src");
  }

  async _addVersions() {
    const session = this._session;
    const before = this._older === null ? "" : `?before=${this._older}`;
    const page = await request(`${sessionPath(session)}/versions${before}`);
    if (this._session !== session) return;
    this._older = page.next;
    byId("versions").append(...page.versions.map((/** @type {any} */ row) => this._row(row)));
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
