/** One notification in the list. */

import { make, timeWords } from "../events/elements.js";
import { actionsOf, leadOf } from "./words.js";

/** @typedef {import("./words.js").Notification} Notification */

const PRIORITIES = new Map([
  ["high", "Important"],
  ["critical", "Critical"],
]);

export class NotificationRow {
  /**
   * @param {Notification} notification
   * @param {{onAction: (action: string) => void, onFollow: () => void}} hooks
   */
  constructor(notification, { onAction, onFollow }) {
    this._onAction = onAction;
    this.isNew = notification.state === "unseen";
    this.element = make("li", "notification");
    this.element.dataset.id = notification.id;
    this.element.dataset.priority = notification.priority;
    if (this.isNew) this.element.dataset.new = "";
    const head = make("div", "notification-head");
    head.append(...this._marks(notification), titleOf(notification, onFollow), timeOf(notification));
    this._actions = make("div", "notification-actions");
    this.element.append(head, ...(notification.body ? [make("p", "notification-body", notification.body)] : []), this._actions);
    this.update(notification);
  }

  /** @param {Notification} notification */
  update(notification) {
    this.notification = notification;
    const isRead = notification.read_at !== null;
    this.element.classList.toggle("is-read", isRead);
    const wanted = actionsOf(notification);
    const focused = this._buttons.findIndex((button) => button === document.activeElement);
    if (wanted.map(({ action }) => action).join() !== this._buttons.map(({ dataset }) => dataset.action).join()) {
      this._actions.replaceChildren(...wanted.map((each) => this._button(each, notification.title)));
      // "Mark as read" has become "Mark as unread" under the keyboard.
      if (focused >= 0) this._buttons[Math.min(focused, wanted.length - 1)]?.focus();
    }
  }

  /** While a request about it is on its way. @param {boolean} isBusy */
  setBusy(isBusy) {
    for (const button of this._buttons) button.setAttribute("aria-disabled", String(isBusy));
    this._isBusy = isBusy;
  }

  /** The keyboard goes on here. */
  focus() {
    this._buttons[0]?.focus();
  }

  /** @returns {HTMLButtonElement[]} */
  get _buttons() {
    return [.../** @type {NodeListOf<HTMLButtonElement>} */ (this._actions.querySelectorAll("button"))];
  }

  /** @param {{action: string, words: string}} action @param {string} title */
  _button({ action, words }, title) {
    const button = make("button", "quiet-button", words);
    button.type = "button";
    button.dataset.action = action;
    button.setAttribute("aria-label", `${words}: ${title}`);
    button.addEventListener("click", () => this._isBusy || this._onAction(action));
    return button;
  }

  /** @param {Notification} notification */
  _marks({ priority }) {
    const words = PRIORITIES.get(priority);
    return [...(this.isNew ? [make("span", "mark mark-new", "New")] : []), ...(words ? [make("span", "mark", words)] : [])];
  }
}

/** @param {Notification} notification @param {() => void} onFollow */
function titleOf({ title, action_url: url }, onFollow) {
  const heading = make("span", "notification-title");
  const lead = leadOf(url);
  if (lead === null) {
    heading.textContent = title;
    return heading;
  }
  const link = make("a", "", title);
  link.href = lead.href;
  heading.append(link);
  if (lead.host) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
    heading.append(make("span", "notification-host", ` ${lead.host}`));
  }
  link.addEventListener("click", onFollow);
  return heading;
}

/** @param {Notification} notification */
function timeOf({ created_at: at }) {
  const time = make("time", "notification-time", timeWords(at));
  time.dateTime = at;
  return time;
}
