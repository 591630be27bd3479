/** What an answer asks before it goes on: a card for each tool call, to be approved, denied or changed. */

import { make } from "../events/elements.js";
import { request } from "../events/requests.js";

/**
 * @typedef {object} PendingCall  as in the frame `tool_calls_pending`
 * @property {string} approval_id
 * @property {string} call_id
 * @property {string} tool_name
 * @property {any} [arguments]  missing when they are too long for a frame
 * @property {string} payload_sha256
 * @property {boolean} editable
 * @property {string} expires_at
 */

/** @typedef {{status: string, decided_by: string|null, feedback: string, edited: boolean}} Made */

const approvalPath = (/** @type {string} */ id) => `/api/v1/approvals/${encodeURIComponent(id)}`;

/** @param {Made} made */
export function decisionWords({ status, decided_by: by, feedback, edited }) {
  if (status === "expired") return "Nobody decided in time; it was not done.";
  if (status === "cancelled") return "No longer asked.";
  const what = status === "approved" ? (edited ? "Approved with changes" : "Approved") : "Denied";
  return `${what}${by ? ` by ${by}` : ""}.${feedback ? ` “${feedback}”` : ""}`;
}

export class ApprovalCards {
  /** @param {HTMLElement} box */
  constructor(box) {
    this._box = box;
    /** @type {Map<string, ApprovalCard>} By approval. */
    this._cards = new Map();
  }

  /** @param {PendingCall[]} calls */
  show(calls) {
    for (const call of calls) {
      if (this._cards.has(call.approval_id)) continue;
      const card = new ApprovalCard(call);
      this._cards.set(call.approval_id, card);
      this._box.append(card.element);
    }
  }

  /** @param {string} approvalId @param {Made} made */
  decided(approvalId, made) {
    this._cards.get(approvalId)?.decided(made);
  }

  /** The answer has ended: nothing is open any more. */
  close() {
    for (const card of this._cards.values()) {
      if (!card.isDecided) card.decided({ status: "cancelled", decided_by: null, feedback: "", edited: false });
    }
  }
}

class ApprovalCard {
  /** @param {PendingCall} call */
  constructor(call) {
    this._call = call;
    this.isDecided = false;
    /** @type {HTMLTextAreaElement|null} */
    this._editor = null;
    this.element = make("section", "approval");
    this.element.dataset.approvalId = call.approval_id;
    const title = make("h3", "approval-title", `May “${call.tool_name}” be called?`);
    title.id = `approval-${call.approval_id}`;
    this.element.setAttribute("aria-labelledby", title.id);
    this._payload = make("pre", "approval-payload");
    this._comment = make("input", "approval-comment");
    this._comment.type = "text";
    this._comment.maxLength = 4000;
    this._comment.placeholder = "A comment, for the model to read";
    this._comment.setAttribute("aria-label", "A comment");
    this._words = make("p", "approval-words");
    this._words.setAttribute("role", "status");
    this._buttons = make("p", "approval-buttons");
    this._approve = this._button("Approve", "button small", () => this._decide(true));
    this._button("Deny", "quiet-button", () => this._decide(false));
    if (call.editable) this._edit = this._button("Change it", "link-button", () => this._openEditor());
    this.element.append(title, this._payload, this._comment, this._buttons, this._words);
    this._showPayload();
  }

  /** @param {string} words @param {string} className @param {() => unknown} onClick */
  _button(words, className, onClick) {
    const button = make("button", className, words);
    button.type = "button";
    button.addEventListener("click", onClick);
    this._buttons.append(button);
    return button;
  }

  _showPayload() {
    if ("arguments" in this._call) this._payload.textContent = JSON.stringify(this._call.arguments, null, 2);
    else this._refresh().catch(() => (this._words.textContent = "What it would be called with could not be loaded. Reload the page."));
  }

  /** Asks the server how it stands. */
  async _refresh() {
    const approval = await request(approvalPath(this._call.approval_id));
    this._call.arguments = approval.payload;
    this._payload.textContent = JSON.stringify(approval.payload, null, 2);
    if (approval.status === "pending") return;
    const { status, feedback } = approval;
    this.decided({ status, feedback, decided_by: approval.decided_by?.username ?? null, edited: approval.edited_payload !== null });
  }

  _openEditor() {
    if (this._editor || this.isDecided) return;
    this._editor = make("textarea", "approval-editor");
    this._editor.value = this._payload.textContent ?? "";
    this._editor.rows = Math.min(12, this._editor.value.split("\n").length + 1);
    this._editor.setAttribute("aria-label", "What it is called with instead, as JSON");
    this._payload.replaceWith(this._editor);
    this._edit?.remove();
    this._approve.textContent = "Approve with changes";
    this._editor.focus();
  }

  /** @param {boolean} approved */
  async _decide(approved) {
    /** @type {Record<string, unknown>} */
    const body = { approved, payload_sha256: this._call.payload_sha256 };
    if (this._comment.value.trim()) body.feedback = this._comment.value.trim();
    if (approved && this._editor) {
      try {
        body.edited = JSON.parse(this._editor.value);
      } catch (error) {
        this._words.textContent = `This is not JSON: ${/** @type {Error} */ (error).message}`;
        return;
      }
    }
    this._setBusy(true);
    this._words.textContent = "";
    try {
      const approval = await request(`${approvalPath(this._call.approval_id)}/decision`, { method: "POST", body });
      this.decided({ ...approval, decided_by: approval.decided_by?.username ?? null, edited: approval.edited_payload !== null });
    } catch (error) {
      const { message = "", status } = /** @type {any} */ (error).detail ?? {};
      this._words.textContent = message || "That did not work. Is the network there?";
      this._setBusy(false);
      // Someone was faster: what he decided is shown.
      if (status === 409 || status === 410) await this._refresh().catch(() => {});
    }
  }

  /** @param {boolean} isBusy */
  _setBusy(isBusy) {
    for (const button of this._buttons.querySelectorAll("button")) button.disabled = isBusy;
  }

  /** @param {Made} made */
  decided(made) {
    if (this.isDecided) return;
    this.isDecided = true;
    this.element.dataset.status = made.status;
    const hadFocus = this.element.contains(document.activeElement);
    if (this._editor) this._editor.replaceWith(this._payload);
    this._comment.remove();
    this._buttons.remove();
    this._words.textContent = decisionWords(made);
    if (hadFocus) {
      this._words.tabIndex = -1;
      this._words.focus();
    }
  }
}
