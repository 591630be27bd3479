/** The dialog in which a rule is made and changed, and tried on recent events before it is saved. */

import { byId, make, timeWords } from "../events/elements.js";
import { request, RequestError } from "../events/requests.js";

const RULES = "/api/v1/notifications/rules";
/** @type {Record<string, string>} A rule's texts, by the ids of their fields. */
const TEXTS = { name: "rule-name", pattern: "rule-pattern", condition: "rule-condition", title: "rule-title", body: "rule-body", action_url: "rule-action", priority: "rule-priority" };

export class RuleEditor {
  /** @param {{onSaved: () => void}} options */
  constructor({ onSaved }) {
    this.onSaved = onSaved;
    this.dialog = byId("editor");
    /** @type {any} */
    this.rule = null;
    this.organization = "";
    byId("rule-form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#attempt(() => this.#save());
    });
    byId("rule-try").addEventListener("click", () => void this.#attempt(() => this.#rehearse()));
    byId("rule-cancel").addEventListener("click", () => this.dialog.close());
    byId("rule-delete").addEventListener("click", () => void this.#attempt(() => this.#delete()));
  }

  /** @param {any} rule null: a new one @param {string} organization @param {string} userId */
  open(rule, organization, userId) {
    this.rule = rule;
    this.organization = organization;
    const shown = rule ?? { name: "", pattern: `events.${organization}.`, condition: "", title: "", body: "", action_url: "", priority: "normal", channels: ["websocket"], recipients: [`user:${userId}`], throttle: null, digest: null, always: false, enabled: true };
    for (const [name, id] of Object.entries(TEXTS)) byId(id).value = shown[name];
    byId("rule-recipients").value = shown.recipients.join(", ");
    for (const box of this.#boxes()) box.checked = shown.channels.includes(box.value);
    byId("rule-always").checked = shown.always;
    byId("rule-enabled").checked = shown.enabled;
    byId("rule-limit").value = shown.throttle?.limit ?? "";
    byId("rule-window").value = shown.throttle?.seconds ?? "";
    byId("rule-digest").value = shown.digest?.seconds ?? "";
    byId("editor-head").textContent = rule ? "Change rule" : "New rule";
    byId("rule-delete").hidden = !rule || rule.builtin !== "";
    byId("rule-problem").hidden = true;
    byId("trial-words").textContent = "";
    byId("trial").replaceChildren();
    this.dialog.showModal();
  }

  /** @returns {HTMLInputElement[]} */
  #boxes() {
    return [...this.dialog.querySelectorAll("input[name=channel]")];
  }

  #fields() {
    /** @param {string} id */
    const number = (id) => (byId(id).value === "" ? null : Number(byId(id).value));
    const [limit, seconds, digest] = [number("rule-limit"), number("rule-window"), number("rule-digest")];
    return {
      ...Object.fromEntries(Object.entries(TEXTS).map(([name, id]) => [name, byId(id).value])),
      recipients: byId("rule-recipients").value.split(",").map((/** @type {string} */ each) => each.trim()).filter(Boolean),
      channels: this.#boxes().filter((box) => box.checked).map((box) => box.value),
      throttle: limit === null && seconds === null ? null : { limit: limit ?? 1, seconds: seconds ?? 60 },
      digest: digest === null ? null : { seconds: digest },
      always: byId("rule-always").checked,
      enabled: byId("rule-enabled").checked,
    };
  }

  /** @param {() => Promise<void>} what */
  async #attempt(what) {
    const problem = byId("rule-problem");
    try {
      await what();
      problem.hidden = true;
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      problem.textContent = error.detail.message || "This could not be done. Try again.";
      problem.hidden = false;
      problem.scrollIntoView({ block: "nearest" });
    }
  }

  async #save() {
    if (this.rule) await request(`${RULES}/${this.rule.id}`, { method: "PATCH", body: this.#fields() });
    else await request(RULES, { method: "POST", body: { ...this.#fields(), organization: this.organization } });
    this.dialog.close();
    this.onSaved();
  }

  async #delete() {
    await request(`${RULES}/${this.rule.id}`, { method: "DELETE" });
    this.dialog.close();
    this.onSaved();
  }

  async #rehearse() {
    const found = await request(`${RULES}/rehearsal`, { method: "POST", body: { ...this.#fields(), organization: this.organization } });
    byId("trial-words").textContent = `${found.matched} of the last ${found.looked_at} events would have been told. Nobody was told now.`;
    byId("trial").replaceChildren(...found.results.map(shown));
    byId("trial-words").scrollIntoView({ block: "start", behavior: "smooth" });
  }
}

/** @param {any} told */
function shown(told) {
  const row = make("li");
  if (told.failure) row.append(make("b", "rule-failure", told.failure));
  else {
    const more = told.recipient_count - told.recipients.length;
    const who = told.recipients.map((/** @type {{username: string}} */ each) => each.username).join(", ") + (more > 0 ? ` and ${more} more` : "");
    row.append(make("b", "", told.title), make("span", "", told.body), make("span", "rule-about", `to ${who || "nobody"}`));
  }
  row.append(make("span", "rule-about", `${timeWords(told.timestamp)} · ${told.topic}`));
  return row;
}
