/** The messages of the open conversation, and the answers among them that are still being written. */

import { openStream } from "../events/stream.js";
import { AnswerReader, isAnswerEnd } from "./answer.js";
import { answerPath, cursorOf, messagesPath, request, stopPath } from "./api.js";
import { MessageView } from "./message-view.js";
import { sendQuestion } from "./sending.js";
import { isRunning } from "./words.js";

/** How often the finished message is fetched when the server has not written it down yet, and the first wait in between. */
const SETTLE_ATTEMPTS = 6;
const SETTLE_MS = 150;
/** How long a stop by the socket has before it is asked for by a request as well: asking twice changes nothing. */
const CANCEL_MS = 2_000;

/** @typedef {import("./message-view.js").Message} Message */

export class Thread {
  /**
   * @param {{list: HTMLElement, earlier: HTMLButtonElement, scroll: import("./scrolling.js").StickyScroll}} elements
   * @param {{onRetry: (question: string) => void, onRunning: () => void, onFinished: (status: string) => void,
   *   onStreamState: (key: string, state: any, detail: any) => void, onCancel: (messageId: string) => boolean, onError: (error: unknown) => void}} hooks
   */
  constructor({ list, earlier, scroll }, hooks) {
    this._list = list;
    this._earlier = earlier;
    this._scroll = scroll;
    this._hooks = hooks;
    /** @type {string|null} */
    this.conversationId = null;
    this._abort = new AbortController();
    /** @type {Map<string, MessageView>} */
    this._views = new Map();
    /** @type {Map<string, import("../events/stream.js").Stream>} Answers being followed, by message id. */
    this._streams = new Map();
    /** @type {Set<MessageView>} Questions shown before the server has told their id. */
    this._unnamed = new Set();
    /** @type {Set<string>} Answers that could not be read, so that nobody tries for ever. */
    this._unreadable = new Set();
    /** @type {string|null} */
    this._before = null;
    earlier.addEventListener("click", () => this._loadEarlier().catch(hooks.onError));
  }

  _forget() {
    this._abort.abort();
    this._abort = new AbortController();
    for (const collection of [this._views, this._streams, this._unnamed, this._unreadable]) collection.clear();
    this._before = null;
    this._earlier.hidden = true;
    this._list.replaceChildren();
  }

  /** Whether nothing is shown. */
  get isEmpty() {
    return this._list.childElementCount === 0;
  }

  /** Messages that are being answered now. @returns {MessageView[]} */
  get running() {
    return [...this._views.values()].filter((view) => view.role === "assistant" && (isRunning(view.status ?? "") || view.status === "stopping"));
  }

  /** @param {string} messageId */
  knows(messageId) {
    return this._views.has(messageId);
  }

  /** @param {string} messageId */
  isFollowing(messageId) {
    return this._streams.has(messageId);
  }

  /** Cuts every wait for a connection short. */
  retryNow() {
    for (const stream of this._streams.values()) stream.retryNow();
  }

  /** Shows another conversation; null: a new one. @param {string|null} conversationId */
  async open(conversationId) {
    this._forget();
    this.conversationId = conversationId;
    if (conversationId !== null) await this.refresh();
    this._scroll.stick();
  }

  /** Asks for the newest messages and shows what is new about them. */
  async refresh() {
    const { conversationId } = this;
    if (conversationId === null) return;
    const signal = this._abort.signal;
    const page = await request(messagesPath(conversationId), { signal });
    if (signal.aborted) return;
    const isFirst = this._views.size === 0;
    const isConnected = page.results.some((/** @type {Message} */ message) => this._views.has(message.id ?? ""));
    if (!isFirst && !isConnected && this._unnamed.size === 0) this._startOver(); // more has happened than one page holds
    if (this._views.size === 0) this._setBefore(page.next);
    this._merge(page.results);
    this._hooks.onRunning();
  }

  _startOver() {
    for (const stream of this._streams.values()) stream.close();
    this._streams.clear();
    this._views.clear();
    this._list.replaceChildren();
  }

  /** @param {number|null} next */
  _setBefore(next) {
    this._before = cursorOf(next);
    this._earlier.hidden = this._before === null;
  }

  async _loadEarlier() {
    if (this.conversationId === null || this._before === null) return;
    const signal = this._abort.signal;
    this._earlier.disabled = true;
    try {
      const page = await request(`${messagesPath(this.conversationId)}?before=${encodeURIComponent(this._before)}`, { signal });
      if (signal.aborted) return;
      this._scroll.keepPlace(() => {
        const first = this._list.firstElementChild;
        for (const message of page.results) {
          if (!this._views.has(message.id)) this._list.insertBefore(this._add(message).element, first);
        }
        this._setBefore(page.next);
      });
    } finally {
      this._earlier.disabled = false;
    }
  }

  /** @param {Message[]} messages  a page, oldest first */
  _merge(messages) {
    /** @type {Element|null} */
    let previous = null;
    messages.forEach((message, index) => {
      const id = /** @type {string} */ (message.id);
      let view = this._views.get(id) ?? this._adoptQuestion(message, messages[index + 1]);
      if (!view) {
        view = this._add(message);
        if (previous) previous.after(view.element);
        else this._list.append(view.element);
      } else if (!this._streams.has(id)) this._updateWhenChanged(view, message);
      previous = view.element;
      this._followIfRunning(view);
    });
  }

  /**
   * The question that was just sent is shown before its id is known: it is the one above the answer that is known.
   * @param {Message} message
   * @param {Message|undefined} next
   */
  _adoptQuestion(message, next) {
    if (message.role !== "user" || !next) return undefined;
    const above = this._views.get(next.id ?? "")?.element.previousElementSibling;
    const question = [...this._unnamed].find((view) => view.element === above);
    if (!question) return undefined;
    this._unnamed.delete(question);
    question.id = message.id;
    question.element.dataset.messageId = message.id ?? "";
    this._views.set(message.id ?? "", question);
    return question;
  }

  /** @param {MessageView} view @param {Message} message */
  _updateWhenChanged(view, message) {
    const hasEnded = !isRunning(view.status ?? "") && isRunning(message.status ?? "");
    // The end has been seen here; a page that was fetched a moment before it must not bring the answer back to life.
    if (view.role === "assistant" && !hasEnded && (view.status !== message.status || (message.html && !view.isRendered))) view.update(message);
  }

  /** @param {Message} message */
  _add(message) {
    const view = new MessageView(message, { onRetry: (failed) => this._hooks.onRetry(this._questionOf(failed)) });
    if (message.id) this._views.set(message.id, view);
    return view;
  }

  /** @param {MessageView} answer */
  _questionOf(answer) {
    const question = answer.element.previousElementSibling;
    for (const view of [...this._views.values(), ...this._unnamed]) if (view.element === question) return view.source;
    return "";
  }

  /** @param {MessageView} view */
  _followIfRunning(view) {
    const { id } = view;
    if (view.role !== "assistant" || !id || !isRunning(view.status ?? "")) return;
    if (!this._streams.has(id) && !this._unreadable.has(id)) this._follow(view, id);
  }

  /** Reads a running answer from its beginning: the server merges what has been written so far. @param {MessageView} view @param {string} id */
  _follow(view, id) {
    view.restart();
    const reader = new AnswerReader(view);
    const stream = openStream({
      url: answerPath(id),
      signal: this._abort.signal,
      isTerminal: isAnswerEnd,
      onEvent: (event) => reader.take(event),
      onState: (state, detail) => this._onStream(view, id, state, detail),
    });
    this._streams.set(id, stream);
    stream.done.catch(this._hooks.onError);
  }

  /** @param {MessageView} view @param {string} id @param {string} state @param {any} detail */
  _onStream(view, id, state, detail) {
    if (this._abort.signal.aborted && detail.reason === "aborted") return;
    this._hooks.onStreamState(id, state, detail);
    if (state !== "ended" && state !== "failed") return;
    this._streams.delete(id);
    if (state === "failed") this._unreadable.add(id);
    view.flush();
    this._hooks.onRunning();
    if (state === "ended" && detail.reason === "terminal") this._hooks.onFinished(view.status ?? "");
    this._settle(view).catch(this._hooks.onError);
  }

  /** After its end: the text rendered, the question's id, the final state. @param {MessageView} view */
  async _settle(view) {
    const signal = this._abort.signal;
    for (let attempt = 0; attempt < SETTLE_ATTEMPTS && !view.isRendered && !signal.aborted; attempt += 1) {
      if (attempt > 0) await new Promise((resolve) => setTimeout(resolve, SETTLE_MS * 2 ** attempt));
      if (signal.aborted) return;
      await this.refresh();
      if (view.source === "") return; // nothing to render
    }
  }

  /**
   * Shows a question and a place for its answer, and sends it.
   * @param {{question: string, applicationId: string, key: string, onAccepted: (begun: any) => void, onRefused: (detail: any) => void}} options
   */
  send({ question, applicationId, key, onAccepted, onRefused }) {
    const asked = this._add({ id: null, role: "user", text: question });
    const view = this._add({ id: null, role: "assistant", text: "", status: "sending" });
    this._unnamed.add(asked);
    this._list.append(asked.element, view.element);
    this._scroll.stick();
    const { signal } = this._abort;
    const stream = sendQuestion({
      question,
      key,
      conversationId: this.conversationId,
      applicationId,
      reader: new AnswerReader(view),
      onAccepted: (begun, accepted) => {
        // The reader has gone to another conversation meanwhile: the answer is written without anyone looking.
        if (signal.aborted) accepted.close();
        else this._accept(view, begun, accepted);
        onAccepted(begun);
      },
      onState: (state, detail) => signal.aborted || this._onStream(view, view.id ?? "", state, detail),
      onDelay: () => view.setStatusWords("Not sent yet; trying again…"),
      onRefused: (detail) => {
        this._unnamed.delete(asked);
        asked.element.remove();
        view.element.remove();
        onRefused(detail);
      },
    });
    stream.done.catch(this._hooks.onError);
  }

  /** @param {MessageView} view @param {{message_id: string, conversation_id: string}} begun @param {import("../events/stream.js").Stream} stream */
  _accept(view, begun, stream) {
    this.conversationId = begun.conversation_id;
    view.id = begun.message_id;
    view.element.dataset.messageId = begun.message_id;
    this._views.set(begun.message_id, view);
    this._streams.set(begun.message_id, stream);
    this._abort.signal.addEventListener("abort", () => stream.close());
    view.setStatus("queued");
    this._hooks.onRunning();
  }

  /** Asks the server to stop all that is being written in this conversation. */
  async stop() {
    const stopping = this.running.filter((view) => view.status !== "stopping");
    await Promise.all(stopping.map((view) => this._stopOne(view)));
  }

  /** @param {MessageView} view */
  async _stopOne(view) {
    const before = view.status ?? "running";
    const id = view.id ?? "";
    view.setStatus("stopping");
    if (this._hooks.onCancel(id)) {
      await new Promise((resolve) => setTimeout(resolve, CANCEL_MS));
      if (view.status !== "stopping" || this._views.get(id) !== view) return;
    }
    try {
      await request(stopPath(id), { method: "POST" });
    } catch (error) {
      view.unstop(before);
      throw error;
    }
  }
}
