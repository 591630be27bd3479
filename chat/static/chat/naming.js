/** Renaming and deleting the open conversation. */

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

export class Naming {
  /**
   * @param {{list: import("./conversations.js").ConversationList, thread: import("./thread.js").Thread,
   *   onDeleted: () => void, onError: (error: unknown) => void}} options
   */
  constructor({ list, thread, onDeleted, onError }) {
    this._list = list;
    this._thread = thread;
    byId("rename").addEventListener("click", () => this._startRenaming());
    byId("rename-cancel").addEventListener("click", () => this._endRenaming());
    byId("rename-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this._rename().catch(onError);
    });
    byId("rename-title").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape") this._endRenaming();
    });
    byId("delete").addEventListener("click", () => this._askToDelete());
    const dialog = byId("delete-dialog");
    dialog.addEventListener("close", () => {
      if (dialog.returnValue === "delete") this._delete(onDeleted).catch(onError);
      dialog.returnValue = "";
    });
  }

  /** @param {boolean} hasConversation  a new one has nothing to rename */
  show(hasConversation) {
    byId("conversation-actions").hidden = !hasConversation || !byId("rename-form").hidden;
  }

  close() {
    byId("rename-form").hidden = true;
    byId("conversation-title").hidden = false;
  }

  _startRenaming() {
    byId("rename-title").value = this._list.find(this._thread.conversationId)?.title ?? "";
    byId("rename-form").hidden = false;
    byId("conversation-title").hidden = true;
    byId("conversation-actions").hidden = true;
    byId("rename-title").select();
  }

  _endRenaming() {
    this.close();
    this.show(true);
    byId("rename").focus();
  }

  async _rename() {
    const title = byId("rename-title").value.trim();
    const id = this._thread.conversationId;
    if (title === "" || id === null) return;
    await this._list.rename(id, title);
    this._endRenaming();
  }

  _askToDelete() {
    const title = byId("conversation-title").textContent;
    byId("delete-question").textContent = `Delete “${title}” with all its messages? This cannot be undone.`;
    byId("delete-dialog").showModal();
  }

  /** @param {() => void} onDeleted */
  async _delete(onDeleted) {
    const id = this._thread.conversationId;
    if (id === null) return;
    await this._list.remove(id);
    if (this._thread.conversationId === id) onDeleted();
  }
}
