/** One source in the list. */

import { make } from "../events/elements.js";
import { isOpen, stateWords } from "./words.js";

/** @typedef {import("./words.js").Source} Source */

export class SourceRow {
  /**
   * @param {Source} source
   * @param {{mine: boolean, onCancel: () => void, onAgain: () => void, onDelete: () => void}} hooks
   */
  constructor(source, { mine, onCancel, onAgain, onDelete }) {
    this.element = make("li", "source");
    this.element.dataset.id = source.id;
    this._name = make("span", "source-name");
    this._state = make("span", "source-state");
    this._error = make("p", "source-error");
    this._progress = make("progress");
    this._progress.max = 100;
    this._buttons = { cancel: button("Cancel", onCancel), again: button("Take in again", onAgain), remove: button("Delete", onDelete) };
    const actions = make("div", "source-actions");
    actions.append(...(mine ? Object.values(this._buttons) : []));
    this.element.append(this._name, this._state, actions, this._progress, this._error);
    this.update(source);
  }

  /** @param {Source} source */
  update(source) {
    this.source = source;
    this.element.dataset.status = source.status;
    setText(this._name, source.name);
    setText(this._state, stateWords(source));
    setText(this._error, source.status === "failed" ? source.error : "");
    this._error.hidden = this._error.textContent === "";
    this._progress.hidden = !isOpen(source);
    this._progress.setAttribute("aria-label", `Progress of ${source.name}`);
    if (source.status === "queued") this._progress.removeAttribute("value");
    else this._progress.value = source.percent;
    const { cancel, again, remove } = this._buttons;
    const hadFocus = Object.values(this._buttons).some((each) => each === document.activeElement);
    cancel.hidden = !isOpen(source);
    again.hidden = isOpen(source);
    for (const each of [cancel, again, remove]) each.setAttribute("aria-label", `${each.textContent}: ${source.name}`);
    // The button that was pressed has gone: the keyboard goes on at what took its place.
    if (hadFocus && document.activeElement === document.body) (cancel.hidden ? again : cancel).focus();
  }

  /** While a request about it is on its way. @param {boolean} isBusy */
  setBusy(isBusy) {
    for (const each of Object.values(this._buttons)) each.disabled = isBusy;
  }
}

/** @param {string} words @param {() => void} onClick */
export function button(words, onClick) {
  const made = make("button", "quiet-button", words);
  made.type = "button";
  made.addEventListener("click", onClick);
  return made;
}

/** @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
