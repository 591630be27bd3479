/** The list of sources, kept up to date by the feed. */

import { request, RequestError } from "../events/requests.js";
import { SourceRow } from "./row.js";
import { changeOf, isOpen } from "./words.js";

/** @typedef {import("./words.js").Source} Source */

export const sourcesPath = "/api/v1/sources";
/** @param {string} id */
const sourcePath = (id) => `${sourcesPath}/${encodeURIComponent(id)}`;

export class SourceList {
  /**
   * @param {{list: HTMLElement, note: HTMLElement, more: HTMLButtonElement}} elements
   * @param {{user: string, askToDelete: (source: Source) => Promise<boolean>, announce: (words: string) => void,
   *   onChange: () => void, onError: (error: unknown, retry?: () => void) => void}} hooks
   */
  constructor({ list, note, more }, hooks) {
    this._list = list;
    this._note = note;
    this._more = more;
    this._hooks = hooks;
    /** @type {Map<string, SourceRow>} */
    this._rows = new Map();
    /** @type {string|null} */
    this._next = null;
    /** @type {Set<string>} Deleted here; an event about them may still be on its way. */
    this._gone = new Set();
    this._hasLoaded = false;
    more.addEventListener("click", () => this._loadMore());
  }

  /** @returns {Source[]} */
  get sources() {
    return [...this._rows.values()].map(({ source }) => /** @type {Source} */ (source));
  }

  /** Fetches the newest anew; what is older stays. */
  async refresh() {
    const page = await request(sourcesPath);
    this._hasLoaded = true;
    /** @type {Source[]} */
    const newest = page.results;
    const ids = new Set(newest.map(({ id }) => id));
    const oldest = newest.at(-1);
    // What should be on this page and is not, has been deleted elsewhere.
    for (const source of this.sources) {
      if (!ids.has(source.id) && (page.next === null || !oldest || source.created_at > oldest.created_at)) this._remove(source.id);
    }
    if (this._rows.size === 0) this._next = page.next;
    for (const source of newest.reverse()) this.put(source);
    this._show();
  }

  async _loadMore() {
    this._more.disabled = true;
    try {
      const page = await request(`${sourcesPath}?cursor=${encodeURIComponent(String(this._next))}`);
      this._next = page.next;
      for (const source of page.results) if (!this._rows.has(source.id)) this._list.append(this._add(source).element);
      this._show();
    } catch (error) {
      this._hooks.onError(error, () => this._loadMore());
    } finally {
      this._more.disabled = false;
    }
  }

  /** Shows a source: a new one at the top. @param {Source} source */
  put(source) {
    if (this._gone.has(source.id)) return;
    const row = this._rows.get(source.id);
    // Fetched before something that is shown already had happened.
    if (row?.source && Date.parse(row.source.updated_at) > Date.parse(source.updated_at)) return;
    if (row) row.update(source);
    else this._list.prepend(this._add(source).element);
    this._show();
  }

  /** Shows one that was just added, unless the feed has told more of it already. @param {Source} source */
  putNew(source) {
    if (!this._rows.has(source.id)) this.put(source);
  }

  /** @param {import("../events/feed.js").FeedEvent} event */
  hear(event) {
    const news = changeOf(event);
    if (news === null || this._gone.has(news.id)) return;
    const row = this._rows.get(news.id);
    if (row?.source) {
      row.update({ ...row.source, ...news.change });
      this._show();
    }
    if (news.isEnd) this._hooks.announce(`${row?.source?.name ?? "A source"}: ${news.change.status}.`);
    // The event says that it is over; what came of it - how many passages - the source itself.
    if (news.isEnd || !row) this._fetch(news.id);
  }

  /** @param {string} id */
  async _fetch(id) {
    try {
      this.put(await request(sourcePath(id)));
    } catch (error) {
      if (error instanceof RequestError && error.detail.reason === "not_found") this._remove(id);
      else this._hooks.onError(error, () => this._fetch(id));
    }
  }

  /** @param {Source} source */
  _add(source) {
    const { id } = source;
    const row = new SourceRow(source, {
      mine: source.owner === this._hooks.user,
      onCancel: () => this._ask(id, "cancel"),
      onAgain: () => this._ask(id, "reingest"),
      onDelete: () => this._delete(id),
    });
    this._rows.set(id, row);
    return row;
  }

  /** @param {string} id @param {"cancel"|"reingest"} what */
  async _ask(id, what) {
    const row = this._rows.get(id);
    row?.setBusy(true);
    try {
      await request(`${sourcePath(id)}/${what}`, { method: "POST" });
    } catch (error) {
      // Not possible any more: it has ended, or begun, in between. The list shows which.
      if (!(error instanceof RequestError && error.detail.status === 409)) this._hooks.onError(error, () => this._ask(id, what));
    } finally {
      row?.setBusy(false);
    }
    await this._fetch(id);
  }

  /** @param {string} id */
  async _delete(id) {
    const row = this._rows.get(id);
    if (!row?.source || !(await this._hooks.askToDelete(row.source))) return;
    row.setBusy(true);
    try {
      await request(sourcePath(id), { method: "DELETE" });
    } catch (error) {
      if (!(error instanceof RequestError && error.detail.reason === "not_found")) {
        row.setBusy(false);
        this._hooks.onError(error, () => this._delete(id));
        return;
      }
    }
    const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
    this._gone.add(id);
    this._remove(id);
    this._show();
    this._hooks.announce(`${row.source.name} was deleted.`);
    /** @type {HTMLElement|null|undefined} */ (next?.querySelector("button:not([hidden])"))?.focus();
  }

  /** @param {string} id */
  _remove(id) {
    this._rows.get(id)?.element.remove();
    this._rows.delete(id);
    this._show();
  }

  _show() {
    const isEmpty = this._hasLoaded && this._rows.size === 0;
    if (this._hasLoaded) this._note.textContent = isEmpty ? "No sources yet. Add a file or a text above; as soon as it is ready, answers can quote it." : "";
    this._more.hidden = this._next === null;
    this._hooks.onChange();
  }

  /** Whether any is being taken in. */
  get isBusy() {
    return this.sources.some(isOpen);
  }
}
