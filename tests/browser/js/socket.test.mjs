/** The socket that comes back with its cursor. */

import assert from "node:assert/strict";
import { after, test } from "node:test";

globalThis.document = { cookie: "", querySelector: () => null };
const { ResumingSocket } = await import("../../../static/events/socket.js");

/** Sockets as the browser makes them, without a network. */
class FakeSocket extends EventTarget {
  static OPEN = 1;
  static made = [];
  readyState = 1;
  sent = [];
  constructor(address) {
    super();
    this.address = new URL(address);
    FakeSocket.made.push(this);
  }
  send(text) {
    this.sent.push(JSON.parse(text));
  }
  close() {
    this.readyState = 3;
    queueMicrotask(() => this.ends(1000));
  }
  hears(frame) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(frame) }));
  }
  ends(code, reason = "") {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason }));
  }
}
globalThis.WebSocket = FakeSocket;
const opened = [];
after(() => opened.forEach((each) => each.close()));

function open(options = {}) {
  FakeSocket.made = [];
  const seen = { frames: [], states: [] };
  const socket = new ResumingSocket({
    base: "ws://example.org",
    path: "/ws/workspaces/w",
    cursor: "0-0",
    onFrame: (frame) => seen.frames.push(frame),
    onState: (state, detail) => seen.states.push([state, detail.reason]),
    ...options,
  });
  opened.push(socket);
  return { socket, seen, last: () => FakeSocket.made.at(-1) };
}

test("it comes back with the cursor of the last frame that had one, under the same name", () => {
  const { socket, seen, last } = open();
  const first = last();
  first.hears({ type: "connected" });
  first.hears({ type: "document_updated", id: "5-0" });
  first.hears({ type: "user_joined" });
  first.ends(1006);
  socket.retryNow();
  assert.equal(FakeSocket.made.length, 2);
  assert.equal(last().address.searchParams.get("since"), "5-0");
  assert.equal(last().address.searchParams.get("client"), first.address.searchParams.get("client"));
  last().hears({ type: "connected" });
  assert.deepEqual(seen.states.map(([state]) => state), ["connecting", "live", "reconnecting", "reconnecting", "live"]);
});

test("some closes are final, others are not", () => {
  for (const [code, reason, expected] of [
    [1008, "Forbidden", ["failed", "forbidden"]],
    [1008, "Invalid token", ["failed", "unauthorized"]],
    [4404, "", ["failed", "not_found"]],
    [1012, "", ["reconnecting", "closed"]],
    [1013, "", ["reconnecting", "busy"]],
  ]) {
    const { seen, socket, last } = open();
    last().ends(code, reason);
    assert.deepEqual(seen.states.at(-1), expected);
    socket.close();
  }
});

test("a connection that says nothing more is given up", async () => {
  // So long that the first ping of a busy machine does not come too late to be one: after twice the time it gives up.
  const { seen, last } = open({ pingMs: 500 });
  const first = last();
  first.hears({ type: "connected" });
  const deadline = Date.now() + 30_000;
  while (seen.states.at(-1)[0] !== "reconnecting") {
    assert.ok(Date.now() < deadline);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(first.sent.some(({ type }) => type === "ping"));
});

test("what is sent without a connection is refused", () => {
  const { socket, last } = open();
  assert.equal(socket.send({ type: "x" }), true);
  last().ends(1006);
  assert.equal(socket.send({ type: "x" }), false);
});

test("another server names its greeting and its places otherwise, and a cursor that is none is not sent", () => {
  const { socket, seen, last } = open({ cursor: "", greeting: "execution_info", place: "seq" });
  assert.equal(last().address.searchParams.has("since"), false);
  last().hears({ type: "execution_info" });
  last().hears({ type: "log", seq: 7, id: "not this" });
  last().ends(1006);
  socket.retryNow();
  assert.equal(last().address.searchParams.get("since"), "7");
  assert.deepEqual(seen.states[1], ["live", undefined]);
});

test("what arrives after the page closed it is shown to nobody", () => {
  const { socket, seen, last } = open();
  last().hears({ type: "connected" });
  socket.close();
  last().hears({ type: "document_updated", id: "5-0" });
  assert.deepEqual(seen.frames.map(({ type }) => type), ["connected"]);
});
