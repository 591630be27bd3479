/**
 * The page's chat socket: who else is typing, and stopping an answer without waiting for a request.
 *
 * Answers are read as event streams, so the page works without it: stopping falls back to a request, and nobody is shown as typing.
 */

import { newKey } from "../events/requests.js";
import { ResumingSocket } from "../events/socket.js";
import { typingWords } from "./words.js";

/** The server takes a user for typing for a few seconds after each sign of it. */
const TYPING_EVERY_MS = 2_500;
/** Where a page is whose conversation is shared with nobody: a name that nobody else can know. */
const ALONE = `page-${newKey()}`;

export class Live {
  /** @param {{note: HTMLElement}} elements */
  constructor({ note }) {
    this._note = note;
    /** @type {ResumingSocket|null} */
    this._socket = null;
    this._session = "";
    /** @type {string|null} */
    this._conversationId = null;
    this._toldAt = -Infinity;
    /** @type {Map<string, {name: string, timer: ReturnType<typeof setTimeout>}>} Who is typing, by user id. */
    this._typing = new Map();
  }

  /** Goes where the open conversation is. @param {string|null} session @param {string|null} conversationId */
  enter(session, conversationId) {
    this._conversationId = conversationId;
    this._toldAt = -Infinity;
    for (const userId of [...this._typing.keys()]) this._forget(userId);
    if (this._socket && this._session === (session ?? ALONE)) return;
    this._socket?.close();
    this._session = session ?? ALONE;
    this._socket = new ResumingSocket({
      path: `/ws/chat/${encodeURIComponent(this._session)}?answers=no`,
      cursor: "",
      onFrame: (frame) => this._take(frame),
      onState: () => {},
    });
  }

  /** Tells the others of a shared conversation. */
  typing() {
    if (this._session === ALONE || this._conversationId === null || Date.now() - this._toldAt < TYPING_EVERY_MS) return;
    if (this._socket?.send({ type: "typing", chat_id: this._conversationId })) this._toldAt = Date.now();
  }

  /** The question was sent, or taken back. */
  stopTyping() {
    if (this._toldAt !== -Infinity) this._socket?.send({ type: "typing_stopped" });
    this._toldAt = -Infinity;
  }

  /** @param {string} messageId @returns {boolean} whether the socket is open to be told; it may still be lost */
  cancel(messageId) {
    return this._socket?.send({ type: "cancel", message_id: messageId }) ?? false;
  }

  /** @param {any} frame */
  _take(frame) {
    if (frame.type === "typing") this._see(frame);
    else if (frame.type === "typing_stopped" || frame.type === "user_disconnected") this._forget(frame.user_id);
  }

  /** @param {{user_id: string, username?: string, chat_id?: string, expires_in: number}} frame */
  _see({ user_id: userId, username, chat_id: chatId, expires_in: seconds }) {
    if (chatId !== undefined && chatId !== this._conversationId) return;
    clearTimeout(this._typing.get(userId)?.timer);
    // Also when the frame that ends it is lost.
    const timer = setTimeout(() => this._forget(userId), seconds * 1000);
    this._typing.set(userId, { name: username ?? userId, timer });
    this._show();
  }

  /** @param {string} userId */
  _forget(userId) {
    clearTimeout(this._typing.get(userId)?.timer);
    this._typing.delete(userId);
    this._show();
  }

  _show() {
    this._note.textContent = typingWords([...this._typing.values()].map(({ name }) => name));
  }
}
