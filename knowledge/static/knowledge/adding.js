/** Adding sources: by choosing, dropping and pasting. */

import { byId, make } from "../events/elements.js";
import { request, RequestError, upload } from "../events/requests.js";
import { failureWords } from "../events/words.js";
import { sourcesPath } from "./list.js";
import { button } from "./row.js";
import { sizeWords } from "./words.js";

/** More at once would only slow each other down. */
const AT_ONCE = 2;

export class Adding {
  /**
   * @param {{maxBytes: number, onAdded: (source: import("./words.js").Source) => void, onError: (error: unknown, retry: () => void) => void}} options
   */
  constructor({ maxBytes, onAdded, onError }) {
    this._maxBytes = maxBytes;
    this._onAdded = onAdded;
    this._onError = onError;
    /** @type {Upload[]} */
    this._waiting = [];
    this._running = 0;
    this._listenForFiles();
    byId("paste-form").addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      this._paste();
    });
    window.addEventListener("beforeunload", (event) => {
      if (this._running > 0) event.preventDefault();
    });
  }

  _listenForFiles() {
    const [field, drop] = [byId("files"), byId("drop")];
    field.addEventListener("change", () => {
      this._add([...field.files]);
      field.value = ""; // so that the same file may be chosen again
    });
    // Dropped beside the field, a file would be opened by the browser in place of this page.
    for (const type of ["dragover", "drop"]) {
      document.addEventListener(type, (event) => {
        const dragged = /** @type {DragEvent} */ (event).dataTransfer;
        if (!dragged?.types.includes("Files")) return;
        event.preventDefault();
        dragged.dropEffect = "copy";
        drop.classList.toggle("over", type === "dragover");
        if (type === "drop") this._add([...dragged.files]);
      });
    }
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) drop.classList.remove("over");
    });
  }

  /** @param {File[]} files */
  _add(files) {
    for (const file of files) {
      const one = new Upload(file, { onAgain: () => this._queue(one) });
      byId("uploads").append(one.element);
      if (file.size > this._maxBytes) one.fail(`The file has ${sizeWords(file.size)}; at most ${sizeWords(this._maxBytes)} are taken. Split it, and add the parts.`, false);
      else if (file.size === 0) one.fail("The file is empty. Choose another one.", false);
      else this._queue(one);
    }
  }

  /** @param {Upload} one */
  _queue(one) {
    one.wait();
    this._waiting.push(one);
    this._next();
  }

  _next() {
    while (this._running < AT_ONCE && this._waiting.length > 0) this._send(/** @type {Upload} */ (this._waiting.shift()));
  }

  /** @param {Upload} one */
  async _send(one) {
    if (one.isCancelled) return;
    this._running += 1;
    try {
      this._onAdded(await one.send());
      one.element.remove();
    } catch (error) {
      if (!(error instanceof RequestError)) throw error;
      const { reason, status } = error.detail;
      // What the server refuses for what it is will be refused again.
      if (reason !== "aborted") one.fail(failureWords(error.detail).words, reason !== "refused" || status === 408);
    } finally {
      this._running -= 1;
      this._next();
    }
  }

  async _paste() {
    const [name, text, send] = [byId("paste-name"), byId("paste-text"), byId("paste-send")];
    send.disabled = true;
    try {
      this._onAdded(await request(sourcesPath, { method: "POST", body: { name: name.value.trim(), text: text.value } }));
      name.value = "";
      text.value = "";
      byId("paste").open = false;
    } catch (error) {
      this._onError(error, () => this._paste());
    } finally {
      send.disabled = false;
    }
  }
}

/** A file on its way to the server. */
class Upload {
  /** @param {File} file @param {{onAgain: () => void}} hooks */
  constructor(file, { onAgain }) {
    this._file = file;
    this._abort = new AbortController();
    this.element = make("li", "source");
    this._state = make("span", "source-state");
    this._progress = make("progress");
    this._progress.max = 1;
    this._progress.setAttribute("aria-label", `Sending ${file.name}`);
    this._error = make("p", "source-error");
    this._error.setAttribute("role", "alert");
    this._again = button("Try again", onAgain);
    this._cancel = button("Cancel", () => this._remove());
    const actions = make("div", "source-actions");
    actions.append(this._again, this._cancel);
    this.element.append(make("span", "source-name", file.name), this._state, actions, this._progress, this._error);
    this.wait();
  }

  get isCancelled() {
    return this._abort.signal.aborted;
  }

  wait() {
    this._state.textContent = "Waiting to be sent…";
    this._again.hidden = true;
    this._error.hidden = true;
    this._progress.hidden = false;
    this._cancel.textContent = "Cancel";
  }

  /** @returns {Promise<any>} */
  send() {
    const form = new FormData();
    form.append("file", this._file);
    form.append("name", this._file.name);
    this._state.textContent = `Being sent, ${sizeWords(this._file.size)}…`;
    const onProgress = (/** @type {number} */ share) => {
      this._progress.value = share;
      this._state.textContent = share < 1 ? `Being sent: ${Math.round(100 * share)} % of ${sizeWords(this._file.size)}` : "Sent; being looked at…";
    };
    return upload(sourcesPath, form, { onProgress, signal: this._abort.signal });
  }

  /** @param {string} words @param {boolean} canRetry */
  fail(words, canRetry) {
    this._state.textContent = "Not added";
    this._error.textContent = words;
    this._error.hidden = false;
    this._progress.hidden = true;
    this._again.hidden = !canRetry;
    this._cancel.textContent = "Remove";
  }

  _remove() {
    this._abort.abort();
    this.element.remove();
  }
}
