/** The dialog that makes a room. */

import { byId, make } from "../../events/elements.js";
import { request, RequestError } from "../../events/requests.js";
import { failureWords } from "../../events/words.js";
import { accountsPath, roomsPath } from "./api.js";

export class Creating {
  /** @param {{onCreated: (room: import("./api.js").Room) => void, onError: (error: unknown) => void}} hooks */
  constructor(hooks) {
    this._hooks = hooks;
    /** @type {any[]} */
    this._organizations = [];
    byId("new-room").addEventListener("click", () => this.open().catch(hooks.onError));
    byId("create-cancel").addEventListener("click", () => byId("create-dialog").close());
    byId("create-organization").addEventListener("change", () => this._show());
    byId("create").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this._create();
    });
  }

  async open() {
    this._organizations = (await request(accountsPath)).results;
    const options = this._organizations.map((each) => {
      const option = make("option", "", each.name);
      option.value = each.organization;
      return option;
    });
    byId("create").reset();
    byId("create-organization").replaceChildren(...options);
    byId("create-organization-part").hidden = this._organizations.length < 2;
    this._show();
    byId("create-dialog").showModal();
  }

  _show() {
    const chosen = this._organizations.find((each) => each.organization === byId("create-organization").value);
    fill(byId("create-people"), "user", chosen?.people ?? [], "Nobody else is in your organisation yet.");
    fill(byId("create-agents"), "agent", chosen?.agents ?? [], "Your organisation has no applications yet: see the admin.");
    say(chosen ? "" : "Rooms belong to an organisation, and you are in none. An admin of one can add you.");
  }

  async _create() {
    const chosen = [...byId("create").querySelectorAll(".choices input:checked")];
    const body = {
      type: byId("create").elements.type.value,
      title: byId("create-title").value.trim(),
      organization: byId("create-organization").value,
      participants: chosen.map((each) => ({ account_id: each.value, kind: each.name, auto_respond: each.name === "agent" })),
    };
    byId("create-send").disabled = true;
    try {
      const room = await request(roomsPath, { method: "POST", body });
      byId("create-dialog").close();
      this._hooks.onCreated(room);
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      say(failureWords(error.detail).words);
    } finally {
      byId("create-send").disabled = false;
    }
  }
}

/** @param {string} words */
function say(words) {
  byId("create-error").textContent = words;
  byId("create-error").hidden = words === "";
}

/** @param {HTMLElement} box @param {string} kind @param {{id: string, name: string}[]} accounts @param {string} ifNone */
function fill(box, kind, accounts, ifNone) {
  const choices = accounts.map(({ id, name }) => {
    const label = make("label", "choice");
    const input = make("input");
    Object.assign(input, { type: "checkbox", name: kind, value: id });
    label.append(input, ` ${name}`);
    return label;
  });
  box.replaceChildren(...(choices.length > 0 ? choices : [make("p", "list-note", ifNone)]));
}
