/** The dialog with a room's participants: who is in it as what, adding, removing, leaving. */

import { byId, make } from "../../events/elements.js";
import { request, RequestError } from "../../events/requests.js";
import { failureWords } from "../../events/words.js";
import { accountsPath, participantPath, participantsPath, roomPath } from "./api.js";

const ROLES = ["owner", "member", "reader"];

export class People {
  /** @param {{me: string, room: () => import("./api.js").Room|undefined, onChanged: () => Promise<void>, onError: (error: unknown) => void}} hooks */
  constructor(hooks) {
    this._hooks = hooks;
    /** @type {any} */
    this._accounts = null;
    byId("people").addEventListener("click", () => this._open().catch(hooks.onError));
    byId("people-close").addEventListener("click", () => byId("people-dialog").close());
    byId("leave").addEventListener("click", () => this._change((room) => request(participantPath(room.id, hooks.me), { method: "DELETE" }), { isLast: true }));
    byId("delete").addEventListener("click", () => {
      if (window.confirm("Delete this room with all its messages? This cannot be undone.")) this._change((room) => request(roomPath(room.id), { method: "DELETE" }), { isLast: true });
    });
    byId("add").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      const [kind, account] = byId("add-account").value.split(" ");
      const body = { account_id: account, kind, auto_respond: kind === "agent" };
      this._change((room) => request(participantsPath(room.id), { method: "POST", body }));
    });
  }

  /** Shows it anew, when it is open. */
  show() {
    const room = this._hooks.room();
    if (!byId("people-dialog").open) return;
    if (!room) return byId("people-dialog").close();
    const isOwner = room.role === "owner";
    const isFixed = room.type === "immutable";
    byId("participants").replaceChildren(...room.participants.map((each) => this._rowOf(each, isOwner, isFixed)));
    byId("leave").hidden = isFixed;
    byId("delete").hidden = !isOwner;
    this._offer(room, isOwner && !isFixed);
  }

  async _open() {
    const room = this._hooks.room();
    if (!room) return;
    say("");
    const { results } = await request(accountsPath);
    this._accounts = results.find((/** @type {any} */ each) => each.organization === room.organization);
    byId("people-dialog").showModal();
    this.show();
  }

  /** @param {import("./api.js").Room} room @param {boolean} mayAdd */
  _offer(room, mayAdd) {
    const inside = new Set(room.participants.map((each) => each.account_id));
    const all = [["user", this._accounts?.people ?? []], ["agent", this._accounts?.agents ?? []]];
    const options = all.flatMap(([kind, accounts]) =>
      accounts.filter((/** @type {any} */ each) => !inside.has(each.id)).map((/** @type {any} */ each) => {
        const option = make("option", "", kind === "agent" ? `${each.name} (agent)` : each.name);
        option.value = `${kind} ${each.id}`;
        return option;
      }),
    );
    byId("add-account").replaceChildren(...options);
    byId("add").hidden = !mayAdd || options.length === 0;
  }

  /** @param {import("./api.js").Participant} each @param {boolean} isOwner @param {boolean} isFixed */
  _rowOf(each, isOwner, isFixed) {
    const row = make("li", "participant");
    row.dataset.account = each.account_id;
    const isMe = each.account_id === this._hooks.me;
    row.append(make("span", "participant-name", `${each.name}${isMe ? " (you)" : ""}`));
    if (each.kind === "agent") row.append(this._answering(each, isOwner));
    else row.append(isOwner ? this._roleOf(each) : make("span", "participant-role", each.role));
    if (isOwner && !isFixed && !isMe) {
      const remove = make("button", "quiet-button", "Remove");
      remove.type = "button";
      remove.setAttribute("aria-label", `Remove ${each.name}`);
      remove.addEventListener("click", () => this._change((room) => request(participantPath(room.id, each.account_id), { method: "DELETE" })));
      row.append(remove);
    }
    return row;
  }

  /** @param {import("./api.js").Participant} each */
  _roleOf(each) {
    const select = make("select", "field");
    select.setAttribute("aria-label", `Role of ${each.name}`);
    select.append(...ROLES.map((role) => make("option", "", role)));
    select.value = each.role;
    select.addEventListener("change", () => this._patch(each, { role: select.value }));
    return select;
  }

  /** @param {import("./api.js").Participant} each @param {boolean} isOwner */
  _answering(each, isOwner) {
    if (!isOwner || each.role === "reader") return make("span", "participant-role", each.auto_respond ? "agent, answers by itself" : "agent");
    const label = make("label", "choice");
    const input = make("input");
    input.type = "checkbox";
    input.checked = each.auto_respond;
    input.addEventListener("change", () => this._patch(each, { auto_respond: input.checked }));
    label.append(input, " answers by itself");
    return label;
  }

  /** @param {import("./api.js").Participant} each @param {object} body */
  _patch(each, body) {
    this._change((room) => request(participantPath(room.id, each.account_id), { method: "PATCH", body }));
  }

  /** @param {(room: import("./api.js").Room) => Promise<any>} act @param {{isLast?: boolean}} [how]  `isLast`: then the room is not to be seen any more */
  async _change(act, { isLast = false } = {}) {
    const room = this._hooks.room();
    if (!room) return;
    say("");
    try {
      await act(room);
      if (isLast) byId("people-dialog").close();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      say(failureWords(error.detail).words);
    }
    await this._hooks.onChanged();
    this.show();
  }
}

/** @param {string} words */
function say(words) {
  byId("people-error").textContent = words;
  byId("people-error").hidden = words === "";
}
