/** One message on the page. */

import { ApprovalCards } from "./approvals.js";
import { answerErrorWords, isRunning, statusWords, toolWords } from "./words.js";

/**
 * @typedef {object} Message  as `GET /api/v1/conversations/<id>/messages` gives it
 * @property {string|null} id
 * @property {"user"|"assistant"} role
 * @property {string} text
 * @property {string|null} [html]  the text rendered and sanitised by the server
 * @property {string} [thought]
 * @property {{title?: string, url?: string, source?: string, text?: string}[]} [sources]
 * @property {string|null} [status]
 * @property {any} [error]
 */

/** Text is kept in pieces of about this many characters, so that a new word lays out one piece and not a whole long answer. */
const PIECE_CHARACTERS = 1500;

/**
 * @param {string} tag
 * @param {string} [className]
 * @param {string} [text]
 */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/** Text that grows at its end, painted at most once per frame. */
class GrowingText {
  /** @param {HTMLElement} element */
  constructor(element) {
    this._element = element;
    this._waiting = "";
    this._isScheduled = false;
    /** @type {Text|null} */
    this._last = null;
  }

  /** @param {string} text */
  append(text) {
    this._waiting += text;
    if (this._isScheduled) return;
    this._isScheduled = true;
    // A hidden tab gets no animation frames.
    if (document.hidden) setTimeout(() => this.flush(), 200);
    else requestAnimationFrame(() => this.flush());
  }

  clear() {
    this._waiting = "";
    this._last = null;
    this._element.replaceChildren();
  }

  flush() {
    this._isScheduled = false;
    let rest = this._waiting;
    this._waiting = "";
    while (rest !== "") {
      const room = PIECE_CHARACTERS - (this._last?.length ?? 0);
      const lineEnd = rest.indexOf("\n", Math.max(0, room));
      const cut = lineEnd === -1 ? rest.length : lineEnd + 1;
      this._grow(rest.slice(0, cut));
      if (lineEnd !== -1) this._last = null; // a piece ends with its line, where a new box changes nothing that can be seen
      rest = rest.slice(cut);
    }
  }

  /** @param {string} text */
  _grow(text) {
    if (this._last === null) {
      this._last = document.createTextNode("");
      const piece = make("div", "piece");
      piece.append(this._last);
      this._element.append(piece);
    }
    this._last.appendData(text);
  }
}

/** An `AnswerSink`, too. */
export class MessageView {
  /**
   * @param {Message} message
   * @param {{onRetry: (view: MessageView) => void}} actions
   */
  constructor(message, { onRetry }) {
    this.role = message.role;
    /** @type {string|null} */
    this.status = null;
    /** Whether the text is shown as the server has rendered it. */
    this.isRendered = false;
    this._onRetry = onRetry;
    /** @type {Map<string, HTMLElement>} Parts that most messages lack, made when they are first needed. */
    this._parts = new Map();
    /** @type {Set<string>} Those that somebody has opened: they stay open when they are made anew. */
    this._opened = new Set();
    this.element = make("li", `message ${message.role}`);
    this.element.append(make("span", "visually-hidden", message.role === "user" ? "You asked:" : "Answer:"));
    this._body = make("div", "text");
    this.element.append(this._body);
    this._text = new GrowingText(this._body);
    /** @type {GrowingText|null} */
    this._thought = null;
    /** @type {ApprovalCards|null} */
    this._approvals = null;
    this.update(message);
  }

  /** Shows the message anew, as the server has it. @param {Message} message */
  update(message) {
    this.id = message.id;
    if (message.id) this.element.dataset.messageId = message.id;
    /** @type {string} */
    this.source = message.text;
    this._text.clear();
    this.isRendered = Boolean(message.html);
    if (message.html) {
      this._body.className = "text rendered";
      this._body.innerHTML = message.html; // sanitised by the server: chat/markdown.py
    } else {
      this._body.className = "text plain";
      this._text.append(message.text);
      this._text.flush();
    }
    if (this.role === "user") return;
    this._removePart("thought");
    this._thought = null;
    if (message.thought) this.appendThought(message.thought);
    this._removePart("sources");
    this.addSources(message.sources ?? []);
    this.setStatus(message.status ?? "completed");
    if (message.status === "failed") this.setError(message.error ?? null);
  }

  restart() {
    this._text.clear();
    this.isRendered = false;
    this._body.className = "text plain";
    this.source = "";
    for (const name of ["thought", "sources", "tools", "approvals", "error"]) this._removePart(name);
    this._thought = null;
    this._approvals = null;
  }

  /** @param {string} text */
  appendText(text) {
    this.source += text;
    this._text.append(text);
  }

  /** @param {string} text */
  appendThought(text) {
    if (!this._thought) {
      const details = this._part("thought", "details");
      details.append(make("summary", "", "What it thought"), make("div", "thought-text text plain"));
      this._thought = new GrowingText(/** @type {HTMLElement} */ (details.lastElementChild));
    }
    this._thought.append(text);
  }

  /** @param {{title?: string, url?: string, source?: string, text?: string}[]} sources */
  addSources(sources) {
    if (sources.length === 0) return;
    const list = this._part("sources", "details", (details) => {
      details.append(make("summary", "", "Sources"), make("ol"));
    }).lastElementChild;
    for (const source of sources) list?.append(sourceItem(source));
  }

  /** @param {string} name @param {string} status */
  addTool(name, status) {
    this._part("tools", "p").textContent = toolWords(name, status);
  }

  /** @param {import("./approvals.js").PendingCall[]} calls */
  addApprovals(calls) {
    this._approvals ??= new ApprovalCards(this._part("approvals", "div"));
    this._approvals.show(calls);
  }

  /** @param {string} approvalId @param {import("./approvals.js").Made} made */
  setDecision(approvalId, made) {
    this._approvals?.decided(approvalId, made);
  }

  /** @param {string} status */
  setStatus(status) {
    if (this.status === "stopping" && isRunning(status)) return;
    if (this.status === status) return;
    this.status = status;
    this.element.dataset.status = status;
    const isBusy = isRunning(status) || status === "sending" || status === "stopping";
    this.element.setAttribute("aria-busy", String(isBusy));
    const words = statusWords(status);
    if (words) this._part("status", "p").textContent = words;
    else this._removePart("status");
    if (isBusy) return;
    this.flush();
    this._approvals?.close();
  }

  /** The request to stop did not get through. @param {string} status  as it was before */
  unstop(status) {
    this.status = null;
    this.setStatus(status);
  }

  /** Says something else than the status's usual words. @param {string} words */
  setStatusWords(words) {
    this._part("status", "p").textContent = words;
  }

  /** @param {{code?: string, message?: string}|string|null} error */
  setError(error) {
    const box = this._part("error", "div");
    const retry = make("button", "link-button", "Ask again");
    retry.setAttribute("type", "button");
    retry.addEventListener("click", () => this._onRetry(this));
    box.replaceChildren(make("p", "", answerErrorWords(error, this.source !== "")), retry);
  }

  flush() {
    this._text.flush();
    this._thought?.flush();
  }

  /** @param {string} name @param {string} tag @param {(part: HTMLElement) => void} [fill] */
  _part(name, tag, fill) {
    let part = this._parts.get(name);
    if (!part) {
      part = make(tag, `part ${name}`);
      if (part instanceof HTMLDetailsElement) part.open = this._opened.has(name);
      fill?.(part);
      this._parts.set(name, part);
      const order = ["thought", "tools", "TEXT", "approvals", "sources", "status", "error"];
      const after = order.slice(order.indexOf(name) + 1).map((other) => (other === "TEXT" ? this._body : this._parts.get(other)));
      this.element.insertBefore(part, after.find(Boolean) ?? null);
    }
    return part;
  }

  /** @param {string} name */
  _removePart(name) {
    const part = this._parts.get(name);
    if (part instanceof HTMLDetailsElement) this._opened[part.open ? "add" : "delete"](name);
    part?.remove();
    this._parts.delete(name);
  }
}

/** @param {{title?: string, url?: string, source?: string, text?: string}} source */
function sourceItem(source) {
  const item = make("li");
  const title = source.title || source.source || source.url || "Untitled";
  const address = [source.url, source.source].find((value) => /^https?:\/\//i.test(value ?? ""));
  const name = make(address ? "a" : "span", "source-title", title);
  if (address) {
    const link = /** @type {HTMLAnchorElement} */ (name);
    link.href = address;
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  item.append(name);
  if (source.text) item.append(make("p", "source-text", source.text.length > 300 ? `${source.text.slice(0, 300)}…` : source.text));
  return item;
}
