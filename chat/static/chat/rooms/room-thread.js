/** The messages of a room: those of any conversation, each with who wrote it. */

import { make } from "../../events/elements.js";
import { Thread } from "../thread.js";

export class RoomThread extends Thread {
  /** @param {ConstructorParameters<typeof Thread>[0]} elements @param {ConstructorParameters<typeof Thread>[1] & {me: string}} hooks */
  constructor(elements, hooks) {
    super(elements, hooks);
    this._me = hooks.me;
  }

  /** The id of the newest message that is shown. */
  get newest() {
    const last = this._list.lastElementChild;
    return last instanceof HTMLElement ? (last.dataset.messageId ?? null) : null;
  }

  /** @param {any} message */
  _add(message) {
    const view = super._add(message);
    const { account_id: account, name = "" } = message.author ?? {};
    const isMine = account === this._me;
    const label = view.element.querySelector(".visually-hidden");
    if (label) label.textContent = isMine ? "You said:" : "";
    if (isMine) return view;
    view.element.classList.toggle("theirs", message.role === "user");
    view.element.prepend(make("p", "author", name));
    return view;
  }
}
