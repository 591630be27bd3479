/** Which application answers: chosen for a new conversation, shown of any other. */

import { make } from "./message-view.js";

const STORE = "throughline-application";

/** @typedef {{id: string, name: string, organization: string, engine: string}} Application */

export class ApplicationChoice {
  /**
   * @param {{box: HTMLElement, select: HTMLSelectElement, name: HTMLElement}} elements
   * @param {Application[]} applications  that may be asked; the first is the one without a choice
   * @param {{onChange: () => void}} hooks
   */
  constructor({ box, select, name }, applications, hooks) {
    this._box = box;
    this._select = select;
    this._name = name;
    this._applications = applications;
    /** @type {string|null} Of the open conversation; null: it is a new one. */
    this._shown = null;
    select.replaceChildren(...applications.map((each) => makeOption(each.id, labelOf(each, applications))), makeOption("", "None"));
    select.value = remembered(applications);
    select.addEventListener("change", () => {
      localStorage.setItem(STORE, select.value);
      hooks.onChange();
    });
  }

  /** For a new conversation; empty: none, or it is no new one. */
  get chosen() {
    return this._shown === null && this._applications.length > 0 ? this._select.value : "";
  }

  /** The engine that answers as it; empty: the server's. */
  get engine() {
    const id = this._shown ?? this.chosen;
    return this._applications.find((each) => each.id === id)?.engine ?? "";
  }

  /** Lets it be chosen. */
  offer() {
    this._shown = null;
    this._box.hidden = this._applications.length === 0;
    this._name.hidden = true;
  }

  /** Shows that of a conversation. @param {{id: string, name: string}|null} application */
  show(application) {
    this._shown = application?.id ?? "";
    this._box.hidden = true;
    this._name.hidden = application === null;
    this._name.textContent = application?.name ?? "";
  }
}

/** @param {Application[]} applications */
function remembered(applications) {
  const id = localStorage.getItem(STORE);
  const isThere = id === "" || applications.some((each) => each.id === id);
  return isThere && id !== null ? id : (applications[0]?.id ?? "");
}

/** Of those with the same name each is told with its organisation. @param {Application} one @param {Application[]} all */
function labelOf(one, all) {
  const isOnly = all.filter((each) => each.name === one.name).length === 1;
  return isOnly ? one.name : `${one.name} (${one.organization})`;
}

/** @param {string} value @param {string} label */
function makeOption(value, label) {
  const option = /** @type {HTMLOptionElement} */ (make("option"));
  option.value = value;
  option.textContent = label;
  return option;
}
