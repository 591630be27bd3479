/** Searching in a source: what an answer would be given to quote. */

import { byId, make } from "../events/elements.js";
import { request } from "../events/requests.js";

export class Searching {
  /** @param {{onError: (error: unknown, retry: () => void) => void}} options */
  constructor({ onError }) {
    this._onError = onError;
    this._asked = 0;
    byId("search-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this._search();
    });
  }

  /** @param {import("./words.js").Source[]} sources */
  offer(sources) {
    const searchable = sources.filter((source) => source.searchable);
    byId("searching").hidden = searchable.length === 0;
    const select = byId("search-source");
    const wanted = JSON.stringify(searchable.map(({ id, name }) => [id, name]));
    if (select.dataset.offered === wanted) return;
    select.dataset.offered = wanted;
    const chosen = select.value;
    select.replaceChildren(
      ...searchable.map(({ id, name }) => {
        const option = make("option", "", name);
        option.value = id;
        return option;
      }),
    );
    if (searchable.some(({ id }) => id === chosen)) select.value = chosen;
  }

  async _search() {
    const query = byId("search-query").value.trim();
    const source = byId("search-source");
    if (query === "") return;
    const asked = (this._asked += 1);
    this._say("Searching…", []);
    try {
      const found = await request(`/api/v1/sources/${encodeURIComponent(source.value)}/search?${new URLSearchParams({ q: query })}`);
      if (asked !== this._asked) return; // something else was asked meanwhile
      const count = found.results.length;
      const name = source.selectedOptions[0]?.textContent ?? "this source";
      this._say(count === 0 ? `Nothing in “${name}” answers that. Try other words.` : `${count} passage${count === 1 ? "" : "s"}, the best first`, found.results);
    } catch (error) {
      if (asked === this._asked) this._say("", []);
      this._onError(error, () => this._search());
    }
  }

  /** @param {string} words @param {any[]} passages */
  _say(words, passages) {
    byId("search-note").textContent = words;
    byId("passages").replaceChildren(...passages.map(passageOf));
  }
}

/** @param {{text: string, heading: string, source_name: string}} passage */
function passageOf({ text, heading, source_name: name }) {
  const row = make("li", "passage");
  row.append(make("p", "passage-text", text), make("p", "passage-from", [name, heading].filter(Boolean).join(" · ")));
  return row;
}
