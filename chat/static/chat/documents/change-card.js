/** One proposed change: before and after, side by side, and what is decided about it. */

import { make } from "../../events/elements.js";
import { changePath } from "./api.js";

const TITLES = { edit: "Changed section", create: "New section", delete: "Deleted section" };
const DECISIONS = new Map([["approved", "Approved"], ["denied", "Denied"], ["expired", "Nobody decided in time"]]);
/** Of a frame that runs no script nobody can say how high its content is. */
const SMALL = 400;
const LARGE = 1600;

export class ChangeCard {
  /**
   * @param {string} job
   * @param {import("./job-reader.js").Change} change
   * @param {(approved: boolean, feedback: string) => void} onDecide
   */
  constructor(job, change, onDecide) {
    this.id = change.change_id;
    this.isOpen = true;
    this.element = make("li", "change");
    this.element.dataset.change = change.change_id;
    const title = make("h3", "", TITLES[change.operation] ?? "Change");
    this._state = make("span", "state", "Waits for you");
    const head = make("header", "change-head");
    head.append(title, this._state);
    const sides = make("div", "sides");
    const length = Math.max(change.old_html?.length ?? 0, change.new_html?.length ?? 0);
    const size = length < SMALL ? "small" : length < LARGE ? "medium" : "large";
    if (change.old_html !== null) sides.append(side("Before", changePath(job, change.change_id, "old"), size));
    if (change.new_html !== null) sides.append(side("After", changePath(job, change.change_id, "new"), size));
    this._deciding = this._makeDeciding(onDecide);
    this.element.append(head, make("p", "change-why", change.ai_explanation), sides, this._deciding);
  }

  /** @param {(approved: boolean, feedback: string) => void} onDecide */
  _makeDeciding(onDecide) {
    const form = make("form", "deciding");
    const label = make("label", "visually-hidden", "What should be different");
    const feedback = make("input", "field");
    feedback.id = label.htmlFor = `feedback-${this.id}`;
    feedback.maxLength = 4000;
    feedback.placeholder = "Denying? Say what should be different, and it is proposed anew";
    const approve = make("button", "button small", "Approve");
    const deny = make("button", "quiet-button", "Deny");
    approve.type = deny.type = "button";
    approve.addEventListener("click", () => onDecide(true, ""));
    deny.addEventListener("click", () => onDecide(false, feedback.value.trim()));
    form.addEventListener("submit", (event) => event.preventDefault());
    form.append(label, feedback, approve, deny);
    return form;
  }

  /** @param {boolean} isBusy */
  setBusy(isBusy) {
    for (const control of this._deciding.elements) /** @type {HTMLInputElement} */ (control).disabled = isBusy;
  }

  /** @param {import("./job-reader.js").Decision} decision @param {string} me */
  setDecision({ decision, decided_by: by, feedback }, me) {
    this.isOpen = false;
    const who = by === null ? "" : by === me ? " by you" : ` by ${by}`;
    this._state.textContent = `${DECISIONS.get(decision) ?? decision}${who}`;
    this.element.dataset.decision = decision;
    const said = feedback ? [make("p", "change-feedback", `“${feedback}”`)] : [];
    this._deciding.replaceWith(...said);
  }

  /** The job is over: nothing can be decided any more. */
  close() {
    if (!this.isOpen) return;
    this.isOpen = false;
    this._state.textContent = "Not decided";
    this._deciding.remove();
  }
}

/** @param {string} words @param {string} address @param {string} size */
function side(words, address, size) {
  const part = make("section", "side");
  const frame = make("iframe", `change-frame ${size}`);
  // No scripts, no forms, no cookies: it may hold anything.
  frame.setAttribute("sandbox", "");
  frame.title = words;
  frame.src = address;
  part.append(make("h4", "", words), frame);
  return part;
}
