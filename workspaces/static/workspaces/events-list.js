/** What happened in the workspace, newest first. */

import { make, timeWords } from "../events/elements.js";
import { details, sentence } from "./words.js";

/** Older ones leave the page, so that a tab left open for days stays small. */
const MOST = 300;

export class EventsList {
  /** @param {{list: HTMLElement, note: HTMLElement}} elements @param {(userId: string) => string} nameOf */
  constructor({ list, note }, nameOf) {
    this._list = list;
    this._note = note;
    this._nameOf = nameOf;
  }

  /** @param {import("./words.js").Frame} frame */
  add(frame) {
    const row = make("li", "happening");
    row.dataset.id = frame.id ?? "";
    row.dataset.type = frame.type;
    const head = make("div", "happening-head");
    const time = make("time", "happening-time", timeWords(frame.timestamp ?? ""));
    time.dateTime = frame.timestamp ?? "";
    head.append(make("span", "happening-words", sentence(frame, this._nameOf)), time);
    row.append(head);
    const rest = details(frame);
    if (rest) row.append(make("pre", "happening-details", rest));
    this._list.prepend(row);
    while (this._list.childElementCount > MOST) this._list.lastElementChild?.remove();
    this._note.hidden = true;
  }

  /** Says in its place that events are missing. */
  addGap() {
    this._list.prepend(make("li", "happening-gap", "Events are missing here: the server no longer has all that happened meanwhile."));
  }

  /** All that is kept is told anew. */
  clear() {
    this._list.replaceChildren();
  }
}
