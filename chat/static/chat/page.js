/** The chat page: puts its parts together. */

import { connection, feed, watch } from "../events/shell.js";
import { newKey, RequestError } from "./api.js";
import { ApplicationChoice } from "./application-choice.js";
import { Composer } from "./composer.js";
import { ConversationList, UNTITLED } from "./conversations.js";
import { Drawer } from "./drawer.js";
import { Live } from "./live.js";
import { Naming } from "./naming.js";
import { Notice } from "../events/notice.js";
import { StickyScroll } from "./scrolling.js";
import { Thread } from "./thread.js";
import { engineWords, failureWords, statusWords } from "./words.js";

/** @param {string} id @returns {any} */
const byId = (id) => document.getElementById(id);

class ChatPage {
  /** @param {{user: {id: string, username: string}, engine: string|null, applications: import("./application-choice.js").Application[]}} data */
  constructor(data) {
    this._data = data;
    /** @type {{conversationId: string|null}|null} A question on its way: the feed may tell of its answer before the POST does. */
    this._sending = null;
    /** @type {any[]} What the feed told meanwhile. */
    this._held = [];
    /** @type {{question: string, conversationId: string|null, applicationId: string, key: string}|null} */
    this._refused = null;
    this._makeParts();
    this._listen();
  }

  _makeParts() {
    const onError = (/** @type {unknown} */ error) => this._onError(error);
    this._drawer = new Drawer({ drawer: byId("drawer"), toggle: byId("drawer-toggle"), close: byId("drawer-close"), shade: byId("drawer-shade"), rest: byId("conversation") });
    this._notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });
    this._live = new Live({ note: byId("typing-note") });
    this._list = new ConversationList(
      { list: byId("conversation-list"), note: byId("conversation-note"), more: byId("conversation-more") },
      { onOpen: (id) => this._go(id), onChange: () => this._showTitle(), onError },
    );
    this._application = new ApplicationChoice(
      { box: byId("application-choice"), select: byId("application"), name: byId("conversation-application") },
      this._data.applications,
      { onChange: () => this._showEngine() },
    );
    const scroll = new StickyScroll(byId("log"), byId("log-inner"), byId("to-latest"));
    this._thread = new Thread(
      { list: byId("messages"), earlier: byId("earlier"), scroll },
      {
        onRetry: (question) => this._send(question, newKey()),
        onRunning: () => this._showRunning(),
        onFinished: (status) => this._onFinished(status),
        onStreamState: (key, state, detail) => connection.set(key, state, detail),
        onCancel: (messageId) => this._live.cancel(messageId),
        onError,
      },
    );
    this._composer = new Composer(
      { form: byId("composer"), field: byId("question"), send: byId("send"), stop: byId("stop") },
      {
        onSend: (question) => this._send(question, this._keyFor(question)),
        onStop: () => this._thread.stop().catch(onError),
        onTyping: () => this._live.typing(),
        onBusy: () => announce("An answer is being written. Wait for it, or stop it."),
      },
    );
    this._naming = new Naming({ list: this._list, thread: this._thread, onDeleted: () => this._go(null), onError });
  }

  _listen() {
    byId("connection-retry").addEventListener("click", () => this._thread.retryNow());
    window.addEventListener("popstate", () => this._open(conversationInAddress()));
    byId("new-conversation").addEventListener("click", () => this._go(null));
    byId("examples").addEventListener("click", (/** @type {MouseEvent} */ event) => {
      if (event.target instanceof HTMLButtonElement) this._composer.fill(event.target.textContent ?? "");
    });
  }

  start() {
    feed.listen({ onEvent: (event) => this._onFeed(event), onStale: () => this._refreshAll() });
    watch((event) => event.payload?.conversation_id !== undefined && event.payload.conversation_id === this._thread.conversationId);
    this._list.refresh().catch((error) => this._onError(error));
    this._open(conversationInAddress());
  }

  /** Shows a conversation and gives it an address. @param {string|null} id */
  _go(id) {
    if (id !== conversationInAddress()) history.pushState(null, "", addressOf(id));
    this._open(id);
  }

  /** @param {string|null} id @returns {Promise<void>} */
  async _open(id) {
    this._drawer.close();
    this._notice.hide();
    this._naming.close();
    this._list.setCurrent(id);
    this._composer.open(id);
    this._showNote(id === null ? "" : "Loading…");
    const opening = Promise.all([this._thread.open(id), this._list.require(id)]);
    this._showTitle();
    this._showRunning();
    // On a touch screen focus would bring up the keyboard, over what was just opened.
    if (window.matchMedia("(pointer: fine)").matches) this._composer.focus();
    try {
      await opening;
      if (this._thread.conversationId !== id) return;
      this._live.enter(this._list.find(id ?? "")?.session_id ?? null, id);
      this._showNote("");
    } catch (error) {
      if (this._thread.conversationId !== id || isAborted(error)) return;
      if (isNotFound(error)) return this._showNote(failureWords({ reason: "not_found" }).words);
      this._showNote("");
      this._onError(error, () => this._open(id));
    }
    this._showEmpty();
  }

  /** The same key again for what was refused, unchanged: it may have been accepted without our hearing of it. @param {string} question */
  _keyFor(question) {
    const before = this._refused;
    const isSame =
      before && before.question === question && before.conversationId === this._thread.conversationId && before.applicationId === this._application.chosen;
    return isSame ? before.key : newKey();
  }

  /** @param {string} question @param {string} key */
  _send(question, key) {
    if (this._isSendingHere) return;
    const sent = { question, conversationId: this._thread.conversationId, applicationId: this._application.chosen, key };
    this._sending = sent;
    this._refused = null;
    this._notice.hide();
    this._live.stopTyping();
    this._thread.send({
      question,
      applicationId: sent.applicationId,
      key,
      onAccepted: (begun) => this._onAccepted(sent, begun),
      onRefused: (detail) => this._onRefused(sent, detail),
    });
    this._showEmpty();
    this._showRunning();
  }

  /** @param {{conversationId: string|null}} sent @param {{conversation_id: string, message_id: string}} begun */
  _onAccepted(sent, begun) {
    const isOpen = this._thread.conversationId === begun.conversation_id;
    if (sent.conversationId === null && isOpen) {
      history.replaceState(null, "", addressOf(begun.conversation_id));
      this._composer.rename(begun.conversation_id);
      this._list.setCurrent(begun.conversation_id);
    }
    announce(statusWords("running"));
    this._endSending(sent);
    this._showRunning();
    this._showApplication();
    this._list.refreshSoon();
  }

  /** @param {{question: string, conversationId: string|null, applicationId: string, key: string}} sent @param {import("../events/stream.js").StateDetail} detail */
  _onRefused(sent, detail) {
    const isOpen = this._thread.conversationId === sent.conversationId;
    // Refused by a rule, it was certainly not accepted: after a change elsewhere it may be sent as something new.
    if (detail.reason !== "refused") this._refused = sent;
    this._composer.giveBack(sent.conversationId, sent.question);
    this._endSending(sent);
    this._showRunning();
    this._showEmpty();
    this._notice.show(failureWords(detail), isOpen ? () => this._resend(sent) : null);
  }

  /** @param {{question: string, conversationId: string|null, applicationId: string, key: string}} sent */
  _resend(sent) {
    if (this._thread.conversationId !== sent.conversationId) return;
    if (this._composer.text.trim() === sent.question) this._composer.fill("");
    // To another application it is another question.
    this._send(sent.question, sent.applicationId === this._application.chosen ? sent.key : newKey());
  }

  /** @param {object} sent */
  _endSending(sent) {
    if (this._sending !== sent) return;
    this._sending = null;
    const held = this._held;
    this._held = [];
    for (const event of held) this._onFeed(event);
  }

  /** @param {any} event  of the user's feed */
  _onFeed(event) {
    if (event?.type !== "message.started" && event?.type !== "message.finished") return;
    const { message_id: messageId, conversation_id: conversationId } = event.payload;
    if (this._sending && (this._sending.conversationId ?? conversationId) === conversationId) {
      this._held.push(event);
      return;
    }
    this._list.setRunning(conversationId, event.type === "message.started" ? messageId : null);
    this._list.refreshSoon();
    if (conversationId !== this._thread.conversationId || this._thread.isFollowing(messageId)) return;
    if (event.type === "message.finished" || !this._thread.knows(messageId)) this._refreshThread();
  }

  _refreshAll() {
    this._list.refreshSoon();
    this._refreshThread();
  }

  _refreshThread() {
    this._thread.refresh().then(() => this._showEmpty(), (error) => this._onError(error));
  }

  /** @param {string} status */
  _onFinished(status) {
    announce(status === "completed" ? "The answer is complete." : status === "cancelled" ? "The answer was stopped." : "The answer has failed.");
    this._list.refreshSoon();
  }

  get _isSendingHere() {
    return this._sending !== null && this._sending.conversationId === this._thread.conversationId;
  }

  _showRunning() {
    const running = this._thread.running;
    const isStopping = running.length > 0 && running.every((view) => view.status === "stopping");
    const isSending = this._isSendingHere;
    this._composer.setState({ isSending, isRunning: running.length > 0, isStopping });
  }

  _showEmpty() {
    byId("empty").hidden = this._thread.conversationId !== null || !this._thread.isEmpty;
  }

  /** @param {string} words */
  _showNote(words) {
    byId("log-note").textContent = words;
    byId("log-note").hidden = words === "";
    this._showEmpty();
  }

  _showTitle() {
    const id = this._thread.conversationId;
    const title = id === null ? "New conversation" : this._list.find(id)?.title || UNTITLED;
    byId("conversation-title").textContent = title;
    document.title = `${title} · Throughline`;
    this._naming.show(id !== null);
    this._showApplication();
  }

  /** A new conversation has a choice; another one has what it began with. */
  _showApplication() {
    const id = this._thread.conversationId;
    if (id === null) this._application.offer();
    else this._application.show(this._list.find(id)?.application ?? null);
    this._showEngine();
  }

  _showEngine() {
    const alias = this._application.engine || this._data.engine;
    byId("engine-words").textContent = engineWords(alias);
    byId("engine-words").classList.toggle("warning", alias === null || alias === "none");
  }

  /** @param {unknown} error @param {(() => void)|null} [retry] */
  _onError(error, retry = null) {
    if (isAborted(error)) return;
    if (!(error instanceof RequestError)) throw error;
    this._notice.show(failureWords(error.detail), retry ?? (() => this._refreshAll()));
  }
}

/** Said to those who hear the page: what happens, not every word of an answer. @param {string} words */
function announce(words) {
  byId("announcements").textContent = words;
}

/** @param {unknown} error */
function isAborted(error) {
  return error instanceof RequestError && error.detail.reason === "aborted";
}

/** What cannot be an id at all is answered by 400. @param {unknown} error */
function isNotFound(error) {
  return error instanceof RequestError && (error.detail.reason === "not_found" || error.detail.status === 400);
}

function conversationInAddress() {
  return new URLSearchParams(location.search).get("c");
}

/** @param {string|null} id */
function addressOf(id) {
  return id === null ? "/" : `/?c=${encodeURIComponent(id)}`;
}

new ChatPage(JSON.parse(byId("page-data").textContent)).start();
