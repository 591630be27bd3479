/** The question field: Enter sends, what is typed survives a reload, and a refused question comes back. */

const STORE = "throughline-draft:";

export class Composer {
  /**
   * @param {{form: HTMLFormElement, field: HTMLTextAreaElement, send: HTMLButtonElement, stop: HTMLButtonElement}} elements
   * @param {{onSend: (question: string) => void, onStop: () => void, onBusy: () => void, onTyping: () => void}} hooks
   */
  constructor({ form, field, send, stop }, hooks) {
    this._field = field;
    this._send = send;
    this._stop = stop;
    this._hooks = hooks;
    /** @type {string|null} */
    this._conversationId = null;
    this._isBusy = false;
    /** What was typed before this script was loaded. */
    this._early = field.value;
    field.addEventListener("input", () => {
      this._onInput();
      hooks.onTyping();
    });
    field.addEventListener("keydown", (event) => this._onKey(event));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._submit();
    });
    stop.addEventListener("click", () => {
      hooks.onStop();
      field.focus(); // the button is about to go, and the focus must not go with it
    });
  }

  get text() {
    return this._field.value;
  }

  focus() {
    this._field.focus({ preventScroll: true });
  }

  /** Another conversation has another draft. @param {string|null} conversationId */
  open(conversationId) {
    this._conversationId = conversationId;
    this._field.value = this._early || readDraft(conversationId);
    this._early = "";
    this._fit();
  }

  /** The new conversation has got its id. @param {string} conversationId */
  rename(conversationId) {
    const text = this._field.value;
    writeDraft(this._conversationId, "");
    this._conversationId = conversationId;
    writeDraft(conversationId, text);
  }

  /** @param {string} text */
  fill(text) {
    this._field.value = text;
    this._onInput();
    this._field.focus();
    this._field.setSelectionRange(text.length, text.length);
  }

  /**
   * A question that was not accepted comes back - where it was asked, and not over something typed since.
   * @param {string|null} conversationId @param {string} text
   */
  giveBack(conversationId, text) {
    if (conversationId === this._conversationId) {
      if (this._field.value.trim() === "") this.fill(text);
    } else if (readDraft(conversationId).trim() === "") writeDraft(conversationId, text);
  }

  /**
   * While a question is on its way or being answered, the next one can be written, but not sent.
   * @param {{isSending: boolean, isRunning: boolean, isStopping: boolean}} state
   */
  setState({ isSending, isRunning, isStopping }) {
    this._isBusy = isSending || isRunning;
    const hadFocus = document.activeElement === this._send || document.activeElement === this._stop;
    this._send.hidden = isRunning;
    this._send.disabled = isSending;
    this._stop.hidden = !isRunning;
    this._stop.disabled = isStopping;
    this._stop.textContent = isStopping ? "Stopping…" : "Stop";
    if (hadFocus) this.focus();
  }

  /** @param {KeyboardEvent} event */
  _onKey(event) {
    // While an input method composes a word, Enter accepts the word.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this._submit();
  }

  _submit() {
    const question = this._field.value.trim();
    if (question === "") return void this.focus();
    if (this._isBusy) return void this._hooks.onBusy();
    this._field.value = "";
    this._onInput();
    this._hooks.onSend(question);
  }

  _onInput() {
    writeDraft(this._conversationId, this._field.value);
    this._fit();
  }

  _fit() {
    this._field.style.height = "auto";
    this._field.style.height = `${this._field.scrollHeight + 2}px`;
  }
}

/** @param {string|null} conversationId */
function readDraft(conversationId) {
  return sessionStorage.getItem(STORE + (conversationId ?? "new")) ?? "";
}

/** @param {string|null} conversationId @param {string} text */
function writeDraft(conversationId, text) {
  if (text === "") sessionStorage.removeItem(STORE + (conversationId ?? "new"));
  else sessionStorage.setItem(STORE + (conversationId ?? "new"), text);
}
