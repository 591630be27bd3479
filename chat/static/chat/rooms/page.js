/** The page of rooms: puts its parts together. The user's feed rings; messages and answers are then asked for and followed. */

import { byId } from "../../events/elements.js";
import { Notice } from "../../events/notice.js";
import { newKey, request, RequestError } from "../../events/requests.js";
import { connection, feed, watch } from "../../events/shell.js";
import { failureWords } from "../../events/words.js";
import { Composer } from "../composer.js";
import { Drawer } from "../drawer.js";
import { Live } from "../live.js";
import { StickyScroll } from "../scrolling.js";
import { addressOf, postsPath, readPath } from "./api.js";
import { Creating } from "./creating.js";
import { RoomList } from "./list.js";
import { People } from "./people.js";
import { RoomThread } from "./room-thread.js";
import { emptyWords, peopleWords, roomName } from "./words.js";

class RoomsPage {
  /** @param {string} me  the user's id */
  constructor(me) {
    this._me = me;
    /** @type {Promise<void>} The last message on its way. */
    this._sending = Promise.resolve();
    /** @type {{text: string, room: string, key: string}|null} What was refused, perhaps without our hearing that it was accepted. */
    this._refused = null;
    this._read = "";
    const onError = (/** @type {unknown} */ error) => this._onError(error);
    this._drawer = new Drawer({ drawer: byId("drawer"), toggle: byId("drawer-toggle"), close: byId("drawer-close"), shade: byId("drawer-shade"), rest: byId("conversation") });
    this._notice = new Notice({ box: byId("notice"), words: byId("notice-words"), retry: byId("notice-retry"), login: byId("notice-login"), dismiss: byId("notice-dismiss") });
    this._live = new Live({ note: byId("typing-note") });
    this._list = new RoomList(
      { list: byId("room-list"), note: byId("room-note"), more: byId("room-more") },
      { me, onOpen: (id) => this._go(id), onChange: () => this._showHead(), onError },
    );
    this._scroll = new StickyScroll(byId("log"), byId("log-inner"), byId("to-latest"));
    this._thread = new RoomThread(
      { list: byId("messages"), earlier: byId("earlier"), scroll: this._scroll },
      {
        me,
        onRetry: (text) => this._send(text),
        onRunning: () => this._showRunning(),
        onFinished: () => this._list.refreshSoon(),
        onStreamState: (key, state, detail) => connection.set(key, state, detail),
        onCancel: (messageId) => this._live.cancel(messageId),
        onError,
      },
    );
    this._composer = new Composer(
      { form: byId("composer"), field: byId("question"), send: byId("send"), stop: byId("stop") },
      { onSend: (text) => this._send(text), onStop: () => {}, onBusy: () => {}, onTyping: () => this._live.typing() },
    );
    this._people = new People({ me, room: () => this._room, onChanged: () => this._list.refresh(), onError });
    new Creating({ onCreated: (room) => this._list.refresh().then(() => this._go(room.id), onError), onError });
  }

  start() {
    byId("stop-answers").addEventListener("click", () => this._thread.stop().catch((error) => this._onError(error)));
    byId("connection-retry").addEventListener("click", () => this._thread.retryNow());
    window.addEventListener("popstate", () => this._open(roomInAddress()));
    document.addEventListener("visibilitychange", () => this._markRead());
    feed.listen({ onEvent: (event) => this._onFeed(event), onStale: () => this._refreshAll() });
    // What is told of the room that is open, is seen there.
    const isHere = (/** @type {any} */ { room_id: room, action_url: url }) => room === this._thread.conversationId || url === addressOf(this._thread.conversationId);
    watch((event) => this._thread.conversationId !== null && isHere(event.payload ?? {}));
    this._list.refresh().catch((error) => this._onError(error));
    this._open(roomInAddress());
  }

  get _room() {
    return this._list.find(this._thread.conversationId);
  }

  /** @param {string|null} id */
  _go(id) {
    if (id !== roomInAddress()) history.pushState(null, "", addressOf(id));
    this._open(id);
  }

  /** @param {string|null} id */
  async _open(id) {
    this._drawer.close();
    this._notice.hide();
    this._read = "";
    this._showNote(id === null ? "" : "Loading…");
    this._composer.open(id);
    const opening = Promise.all([this._thread.open(id), id === null ? null : this._list.require(id)]);
    this._list.setCurrent(id);
    this._showRunning();
    const wasShown = !byId("below").hidden;
    try {
      await opening;
      if (this._thread.conversationId !== id) return;
      this._live.enter(id, id);
      this._showNote("");
      if (!wasShown) this._composer.open(id); // what is hidden has no height to fit
      if (window.matchMedia("(pointer: fine)").matches) this._composer.focus();
    } catch (error) {
      if (this._thread.conversationId !== id || isAborted(error)) return;
      if (isGone(error)) return this._showNote("This room does not exist any more, or you are not in it.");
      this._showNote("");
      this._onError(error, () => this._open(id));
    }
    this._showHead();
    this._markRead();
  }

  /** Messages go one after the other, in the order in which they were written. @param {string} text */
  _send(text) {
    const room = this._thread.conversationId;
    if (room === null) return;
    this._live.stopTyping();
    this._notice.hide();
    this._sending = this._sending.then(() => this._post(text, room));
  }

  /** @param {string} text @param {string} room */
  async _post(text, room) {
    const before = this._refused;
    // The same key again for the same words: they may have been accepted without our hearing of it.
    const key = before && before.text === text && before.room === room ? before.key : newKey();
    try {
      await request(postsPath(room), { method: "POST", body: { text }, headers: { "Idempotency-Key": key } });
      this._refused = null;
      this._scroll.stick();
    } catch (error) {
      this._refused = { text, room, key };
      this._composer.giveBack(room, text);
      this._onError(error, () => {
        this._composer.fill("");
        this._send(text);
      });
    }
    if (this._thread.conversationId === room) this._refreshThread();
    this._list.refreshSoon();
  }

  /** @param {any} event  of the user's feed */
  _onFeed(event) {
    const room = event.payload?.room_id;
    if (room === undefined) return;
    this._list.refreshSoon();
    if (room !== this._thread.conversationId) return;
    if (event.type === "session.left") this._open(room);
    else if (event.type.startsWith("message.") && !this._thread.isFollowing(event.payload.message_id)) this._refreshThread();
  }

  _refreshAll() {
    this._list.refreshSoon();
    this._refreshThread();
  }

  _refreshThread() {
    const room = this._thread.conversationId;
    if (room === null) return;
    this._thread.refresh().then(
      () => {
        this._showHead();
        this._markRead();
      },
      (error) => this._onError(error),
    );
  }

  /** What is shown to someone who looks at it has been read. */
  _markRead() {
    const room = this._thread.conversationId;
    const newest = this._thread.newest;
    if (room === null || newest === null || newest === this._read || document.visibilityState !== "visible") return;
    this._read = newest;
    request(readPath(room), { method: "POST", body: { message_id: newest } }).then(
      () => this._list.refreshSoon(),
      () => (this._read = ""), // the next message, or coming back to the tab, tries again
    );
  }

  _showRunning() {
    const running = this._thread.running;
    byId("stop-answers").hidden = running.length === 0 || this._room?.role === "reader";
    byId("stop-answers").disabled = running.every((view) => view.status === "stopping");
  }

  _showHead() {
    const room = this._room;
    const id = this._thread.conversationId;
    byId("room-title").textContent = room ? roomName(room, this._me) : "Rooms";
    byId("room-people").textContent = room ? peopleWords(room, this._me) : "";
    byId("room-actions").hidden = !room;
    byId("below").hidden = !room;
    byId("composer").hidden = room?.role === "reader";
    byId("composer-hint").textContent = room?.role === "reader" ? "You may only read in this room." : "Enter sends, Shift + Enter starts a new line.";
    byId("no-room").hidden = id !== null;
    byId("no-messages").hidden = !room || !this._thread.isEmpty || !byId("log-note").hidden;
    if (room) byId("no-messages-words").textContent = emptyWords(room);
    document.title = `${room ? roomName(room, this._me) : "Rooms"} · Throughline`;
    this._people.show();
  }

  /** @param {string} words */
  _showNote(words) {
    byId("log-note").textContent = words;
    byId("log-note").hidden = words === "";
    this._showHead();
  }

  /** @param {unknown} error @param {(() => void)|null} [retry] */
  _onError(error, retry = null) {
    if (isAborted(error)) return;
    if (!(error instanceof RequestError)) throw error;
    if (isGone(error)) return this._list.refreshSoon();
    this._notice.show(failureWords(error.detail), retry ?? (() => this._refreshAll()));
  }
}

/** @param {unknown} error */
function isAborted(error) {
  return error instanceof RequestError && error.detail.reason === "aborted";
}

/** What cannot be an id at all is answered by 400. @param {unknown} error */
function isGone(error) {
  return error instanceof RequestError && (error.detail.reason === "not_found" || (error.detail.status === 400 && roomInAddress() !== null && !/^[0-9a-f-]{36}$/i.test(roomInAddress() ?? "")));
}

function roomInAddress() {
  const id = location.pathname.split("/")[2];
  return id ? decodeURIComponent(id) : null;
}

new RoomsPage(JSON.parse(byId("page-data").textContent).user.id).start();
