/** Who belongs to the workspace; its admins add people and put them out. */

import { byId, make } from "../events/elements.js";
import { request, RequestError } from "../events/requests.js";
import { failureWords } from "../events/words.js";
import { memberWords } from "./words.js";

/** Replays tell of many changes at once. */
const SOON_MS = 300;

/** @typedef {{user: string, username: string, role: string}} Member */

export class MembersList {
  /** @param {{workspace: string, user: string, mayAdminister: boolean, onNames: (people: {user_id: string, username: string}[]) => void}} options */
  constructor({ workspace, user, mayAdminister, onNames }) {
    this._path = `/api/v1/workspaces/${encodeURIComponent(workspace)}/members`;
    this._user = user;
    this._mayAdminister = mayAdminister;
    this._onNames = onNames;
    /** @type {ReturnType<typeof setTimeout>|undefined} */
    this._timer = undefined;
    document.getElementById("add-member")?.addEventListener("submit", (event) => {
      event.preventDefault();
      this._add();
    });
  }

  refreshSoon() {
    clearTimeout(this._timer);
    this._timer = setTimeout(() => this.refresh(), SOON_MS);
  }

  async refresh() {
    try {
      this._show(await this._all());
    } catch (error) {
      this._fail(error);
    }
  }

  /** @returns {Promise<Member[]>} */
  async _all() {
    const found = [];
    for (let next = ""; next !== null; ) {
      const page = await request(`${this._path}?cursor=${encodeURIComponent(next)}`);
      found.push(...page.results);
      next = page.next;
    }
    return found;
  }

  /** @param {Member[]} members */
  _show(members) {
    this._onNames(members.map(({ user, username }) => ({ user_id: user, username })));
    byId("members-summary").textContent = memberWords(members.length);
    byId("members").replaceChildren(...members.map((each) => this._row(each)));
    byId("members-error").hidden = true;
  }

  /** @param {Member} member */
  _row(member) {
    const row = make("li", "member");
    row.dataset.user = member.user;
    row.append(make("span", "member-name", member.username), make("code", "member-id", member.user));
    if (member.role === "admin") row.append(make("span", "member-role", "admin"));
    if (this._mayAdminister && member.user !== this._user) {
      const remove = make("button", "quiet-button member-remove", "Remove");
      remove.type = "button";
      remove.setAttribute("aria-label", `Remove ${member.username}`);
      remove.addEventListener("click", () => this._change(`${this._path}/${encodeURIComponent(member.user)}`, { method: "DELETE" }));
      row.append(remove);
    }
    return row;
  }

  async _add() {
    const field = byId("add-member-id");
    if (await this._change(this._path, { method: "POST", body: { user: field.value.trim() } })) field.value = "";
  }

  /** @param {string} path @param {{method: string, body?: unknown}} options */
  async _change(path, options) {
    try {
      await request(path, options);
    } catch (error) {
      this._fail(error);
      return false;
    }
    await this.refresh();
    return true;
  }

  /** @param {unknown} error */
  _fail(error) {
    if (!(error instanceof RequestError)) throw error;
    const isSaid = error.detail.status === 404 || error.detail.status === 403;
    byId("members-error").textContent = (isSaid && error.detail.message) || failureWords(error.detail).words;
    byId("members-error").hidden = false;
  }
}
