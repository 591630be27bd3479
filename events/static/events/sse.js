/**
 * Reading `text/event-stream`, without any I/O: bytes in, events out.
 *
 * Follows the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream". Bytes may be cut
 * anywhere - inside a UTF-8 sequence, between CR and LF, in the middle of a field name.
 */

/**
 * @typedef {object} ServerEvent
 * @property {string} event  Value of the `event:` line, "message" when there was none.
 * @property {string} data   The `data:` lines, joined with LF.
 * @property {string|null} id  The event's own `id:` line; null when it had none.
 * @property {string} lastEventId  The cursor after this event: the last id seen in the whole stream.
 */

const NO_CURSOR = "";

/** An event that grows without end: the sender is broken, or not an event stream at all. */
export class EventTooLongError extends Error {
  /** @param {number} limit characters */
  constructor(limit) {
    super(`An event is longer than ${limit} characters.`);
    this.name = "EventTooLongError";
  }
}

/** One parser per connection; `lastEventId` and `retry` may be carried over to the next one. */
export class EventStreamParser {
  /**
   * @param {object} [options]
   * @param {string} [options.lastEventId]  cursor that the connection was opened with
   * @param {number} [options.maxLength]  longest event, in characters
   * @param {(comment: string) => void} [options.onComment]  told each comment line, without its colon
   */
  constructor({ lastEventId = NO_CURSOR, maxLength = 16 * 1024 * 1024, onComment } = {}) {
    /** Cursor of the last *complete* event: what to send as `Last-Event-ID`. */
    this.lastEventId = lastEventId;
    /** @type {number|null} Milliseconds from the last `retry:` line. */
    this.retry = null;
    this._maxLength = maxLength;
    this._onComment = onComment;
    this._decoder = new TextDecoder("utf-8"); // strips one leading BOM, replaces bad bytes by U+FFFD
    this._afterCarriageReturn = false;
    /** Pieces of the line that is not yet complete: joined once, so that tiny chunks cost linear time. @type {string[]} */
    this._line = [];
    /** Characters of the event so far. */
    this._length = 0;
    this._idBuffer = lastEventId;
    /** @type {string[]} */
    this._data = [];
    this._event = "";
    /** @type {string|null} */
    this._ownId = null;
  }

  /**
   * Takes the next bytes and returns the events they complete.
   * What is left when the connection ends is, by the standard, thrown away: an event counts with its empty line.
   * @param {Uint8Array} bytes
   * @returns {ServerEvent[]}
   */
  feed(bytes) {
    const text = this._decoder.decode(bytes, { stream: true });
    /** @type {ServerEvent[]} */
    const events = [];
    let start = 0;
    if (this._afterCarriageReturn && text.length > 0) {
      this._afterCarriageReturn = false;
      if (text[0] === "\n") start = 1;
    }
    const lineEnd = /[\r\n]/g;
    lineEnd.lastIndex = start;
    for (let match = lineEnd.exec(text); match; match = lineEnd.exec(text)) {
      this._takePiece(text.slice(start, match.index));
      const event = this._endLine();
      if (event) events.push(event);
      start = match.index + 1;
      if (match[0] === "\r") {
        if (start === text.length) this._afterCarriageReturn = true;
        else if (text[start] === "\n") start += 1;
      }
      lineEnd.lastIndex = start;
    }
    this._takePiece(text.slice(start));
    return events;
  }

  /** @param {string} piece */
  _takePiece(piece) {
    if (piece === "") return;
    this._length += piece.length;
    if (this._length > this._maxLength) throw new EventTooLongError(this._maxLength);
    this._line.push(piece);
  }

  /** @returns {ServerEvent|null} */
  _endLine() {
    const line = this._line.length === 1 ? this._line[0] : this._line.join("");
    this._line = [];
    if (line === "") return this._dispatch();
    if (line[0] === ":") {
      // A comment belongs to no event: a connection kept alive for days must not count as one long event.
      this._length -= line.length;
      this._onComment?.(line.slice(1).trim());
      return null;
    }
    const colon = line.indexOf(":");
    if (colon === -1) this._takeField(line, "");
    else this._takeField(line.slice(0, colon), line.slice(line[colon + 1] === " " ? colon + 2 : colon + 1));
    return null;
  }

  /** @param {string} name @param {string} value */
  _takeField(name, value) {
    if (name === "data") this._data.push(value);
    else if (name === "event") this._event = value;
    else if (name === "id" && !value.includes("\0")) {
      this._idBuffer = value;
      this._ownId = value;
    } else if (name === "retry" && /^[0-9]+$/.test(value)) this.retry = Number(value);
  }

  /** @returns {ServerEvent|null} */
  _dispatch() {
    // The cursor moves only here. Moved at the `id:` line, an event cut before its end would never be sent again.
    this.lastEventId = this._idBuffer;
    const event =
      this._data.length === 0
        ? null
        : {
            event: this._event === "" ? "message" : this._event,
            data: this._data.join("\n"),
            id: this._ownId,
            lastEventId: this.lastEventId,
          };
    this._clearEvent();
    return event;
  }

  _clearEvent() {
    this._data = [];
    this._event = "";
    this._ownId = null;
    this._length = 0;
  }
}
