/** The line above the question field that says what went wrong, and offers what can be done. */

export class Notice {
  /** @param {{box: HTMLElement, words: HTMLElement, retry: HTMLElement, login: HTMLAnchorElement, dismiss: HTMLElement}} elements */
  constructor({ box, words, retry, login, dismiss }) {
    this._elements = { box, words, retry, login };
    /** @type {(() => void)|null} */
    this._onRetry = null;
    retry.addEventListener("click", () => {
      const onRetry = this._onRetry;
      this.hide();
      onRetry?.();
    });
    dismiss.addEventListener("click", () => this.hide());
  }

  /** @param {import("./words.js").Said} said @param {(() => void)|null} onRetry */
  show({ words, canRetry, needsLogin }, onRetry) {
    const { box, words: place, retry, login } = this._elements;
    this._onRetry = onRetry;
    place.textContent = words;
    retry.hidden = !canRetry || onRetry === null;
    login.hidden = !needsLogin;
    login.href = `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
    box.hidden = false;
  }

  hide() {
    this._elements.box.hidden = true;
    this._onRetry = null;
  }
}
