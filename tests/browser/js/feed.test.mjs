import assert from "node:assert/strict";
import http from "node:http";
import { after, afterEach, before, beforeEach, test } from "node:test";

import { openFeed } from "../../../static/events/feed.js";
import { isAfter, Seen, StoredCursor } from "../../../static/events/position.js";
import { newBrowser, Storage } from "./tabs.mjs";

/** A feed as the server keeps one: everything after a cursor, then live. */
class Log {
  constructor() {
    this.events = [];
    this.open = new Set();
    this.requests = [];
    this.clock = 1_700_000_000_000;
    this.refuse = null;
  }

  publish(type, payload = {}) {
    this.clock += 1000;
    const id = `${this.clock}-0`;
    this.events.push(id);
    this.frames ??= new Map();
    this.frames.set(id, `id: ${id}\ndata: ${JSON.stringify({ type, payload, id })}\n\n`);
    for (const response of this.open) response.write(this.frames.get(id));
    return id;
  }

  answer(request, response) {
    const cursor = request.headers["last-event-id"] ?? null;
    this.requests.push(cursor);
    if (this.refuse) return this.refuse(response);
    response.writeHead(200, { "Content-Type": "text/event-stream", Date: new Date(this.clock).toUTCString() }).write(": connected\n\nretry: 1\n\n");
    if (cursor !== null) {
      const isKnown = cursor === "0" || this.events.includes(cursor);
      if (!isKnown) response.write(`data: {"type":"backlog.truncated","payload":{"reason":"unknown_cursor","oldest_retained_id":"${this.events[0] ?? ""}"}}\n\n`);
      for (const id of this.events) if (!isKnown || cursor === "0" || isAfter(id, cursor)) response.write(this.frames.get(id));
    }
    this.open.add(response);
    response.on("close", () => this.open.delete(response));
    return undefined;
  }

  cut() {
    for (const response of this.open) response.destroy();
  }
}

let server;
let log;
let storage;
let tabs = [];
let count = 0;
let user;

before(async () => {
  server = http.createServer((request, response) => log.answer(request, response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  log = new Log();
  storage = newBrowser();
  user = `user_${(count += 1)}`;
});
afterEach(() => {
  for (const tab of tabs) tab.close();
  tabs = [];
});

function openTab(options = {}) {
  const tab = { types: [], gaps: [], states: [], expired: 0 };
  const feed = openFeed({
    url: `http://127.0.0.1:${server.address().port}/api/events`,
    user,
    retryMs: 1,
    maxRetryMs: 5,
    onEvent: (event) => tab.types.push(event.type),
    onStale: (gap) => tab.gaps.push(gap.reason),
    onState: (state, detail) => tab.states.push([state, detail.reason ?? ""]),
    onExpired: () => (tab.expired += 1),
    ...options,
  });
  tabs.push(feed);
  return Object.assign(tab, { feed, close: () => feed.close() });
}

async function until(holds, what) {
  const deadline = Date.now() + 5000;
  while (!holds()) {
    assert.ok(Date.now() < deadline, `waited in vain: ${what ?? holds}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

const isLive = (tab) => tab.feed.state === "live";
const saw = (tab, ...types) => until(() => tab.types.length >= types.length).then(() => assert.deepEqual(tab.types, types));

test("ten tabs hold one connection, and each is told everything once", async () => {
  const ten = Array.from({ length: 10 }, () => openTab());
  await until(() => ten.every(isLive), "ten live tabs");
  assert.equal(log.open.size, 1);
  log.publish("one");
  log.publish("two");
  for (const tab of ten) await saw(tab, "one", "two");
  assert.equal(log.requests.length, 1);
});

test("when the leading tab closes the next goes on where that was, without loss or repetition", async () => {
  const [first, second, third] = [openTab(), openTab(), openTab()];
  await until(() => [first, second, third].every(isLive));
  log.publish("one");
  await saw(third, "one");
  first.close();
  log.publish("between"); // while nobody reads
  await saw(second, "one", "between");
  await saw(third, "one", "between");
  log.publish("after");
  await saw(second, "one", "between", "after");
  await saw(third, "one", "between", "after");
  assert.deepEqual(first.types, ["one"]);
  await until(() => log.open.size === 1);
  assert.ok(second.feed.isLeading);
});

test("what the leader had stored, but had no time to tell, is told by the next", async () => {
  const first = openTab();
  await until(() => isLive(first));
  log.publish("one");
  await saw(first, "one");
  const second = openTab();
  await until(() => isLive(second));
  // The leader dies between storing and telling: its words reach nobody.
  first.feed._channel.postMessage = () => undefined;
  log.publish("untold");
  await saw(first, "one", "untold");
  first.close();
  await saw(second, "untold");
});

test("a tab opened later is told only what is new", async () => {
  const first = openTab();
  await until(() => isLive(first));
  log.publish("old");
  await saw(first, "old");
  const second = openTab();
  await until(() => isLive(second));
  log.publish("new");
  await saw(second, "new");
  await saw(first, "old", "new");
});

test("the cursor is kept: what happened while no tab was open arrives once, and only that", async () => {
  const before = openTab();
  await until(() => isLive(before));
  log.publish("seen");
  await saw(before, "seen");
  before.close();
  await until(() => log.open.size === 0);
  log.publish("away 1");
  log.publish("away 2");
  const back = openTab();
  await saw(back, "away 1", "away 2");
  assert.equal(log.requests.at(-1), log.events[0]);
  assert.deepEqual(back.gaps, []);
});

test("a visit without any event is a place to come back to, too", async () => {
  log.publish("before the first visit");
  log.clock += 10_000;
  const before = openTab();
  await until(() => isLive(before));
  before.close();
  await until(() => log.open.size === 0);
  log.clock += 10_000;
  log.publish("away");
  const back = openTab();
  await saw(back, "away");
  assert.deepEqual(back.gaps, []);
});

test("a break before the first event loses nothing", async () => {
  log.publish("before");
  log.clock += 10_000;
  const tab = openTab();
  await until(() => isLive(tab));
  log.cut();
  log.publish("in the gap");
  await saw(tab, "in the gap");
  assert.deepEqual(tab.gaps, []);
});

test("cursors of different users do not meet", async () => {
  const alice = openTab();
  await until(() => isLive(alice));
  log.publish("hers");
  await saw(alice, "hers");
  user = `${user}-other`;
  const bob = openTab();
  await until(() => isLive(bob));
  assert.equal(log.requests.at(-1), null);
  assert.equal(log.open.size, 2);
});

test("an unknown cursor says that state must be fetched anew, and gives a usable one", async () => {
  storage.setItem(`throughline-feed:http://127.0.0.1:${server.address().port}/api/events:${user}:cursor`, "9999999999999-0");
  log.publish("kept");
  const tab = openTab();
  await saw(tab, "kept");
  assert.deepEqual(tab.gaps, ["unknown_cursor"]);
  tab.close();
  const back = openTab();
  await until(() => isLive(back));
  assert.equal(log.requests.at(-1), log.events[0]); // an earlier id than the one before, because the server's ids begin anew
  assert.deepEqual(back.gaps, []);
});

test("an emptied backlog gives a new cursor, which is no event to anybody", async () => {
  storage.setItem(`throughline-feed:http://127.0.0.1:${server.address().port}/api/events:${user}:cursor`, "5-0");
  const restarted = log.publish("backlog.restarted");
  const tab = openTab();
  await until(() => tab.feed.cursor === restarted);
  tab.close();
  log.publish("next");
  const back = openTab();
  await saw(back, "next");
  assert.equal(log.requests.at(-1), restarted);
  assert.deepEqual([tab.types, tab.gaps, back.gaps], [[], ["unknown_cursor"], []]);
});

test("a backlog told again is not told again to a tab that has seen it", async () => {
  const tab = openTab();
  await until(() => isLive(tab));
  log.publish("one");
  await saw(tab, "one");
  // The server forgets the event that we know last, and keeps what was before.
  log.publish("two");
  await saw(tab, "one", "two");
  log.events.pop();
  log.cut();
  await until(() => tab.gaps.length === 1);
  log.publish("three");
  await saw(tab, "one", "two", "three");
});

test("auth.expired ends the feed in all tabs and asks for a login; a login in another tab revives them", async () => {
  const [first, second] = [openTab(), openTab()];
  await until(() => isLive(first) && isLive(second));
  log.refuse = (response) => response.writeHead(401).end();
  for (const response of log.open) response.end('data: {"type":"auth.expired","payload":{}}\n\n');
  await until(() => first.expired === 1 && second.expired === 1);
  assert.deepEqual([first.feed.state, second.feed.state], ["failed", "failed"]);
  const asked = log.requests.length;
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.ok(log.requests.length - asked <= 1, "nobody goes on asking"); // the tab that waited may have been quicker than the news
  log.refuse = null;
  const third = openTab();
  await until(() => [first, second, third].every(isLive));
  log.publish("again");
  for (const tab of [first, second, third]) await saw(tab, "again");
  third.close();
  log.publish("and later");
  for (const tab of [first, second]) await saw(tab, "again", "and later");
});

test("a refusal is waited out as long as Retry-After says, with the cursor kept", async () => {
  const tab = openTab();
  await until(() => isLive(tab));
  log.publish("one");
  await saw(tab, "one");
  log.refuse = (response) => {
    log.refuse = null;
    log.refusedAt = performance.now();
    response.writeHead(429, { "Retry-After": "1" }).end('{"success":false,"message":"Replay budget exhausted."}');
  };
  log.cut();
  await until(() => tab.feed.detail.reason === "busy");
  assert.ok(tab.feed.detail.delayMs >= 1000 && tab.feed.detail.delayMs < 1100, String(tab.feed.detail.delayMs));
  log.publish("two");
  await saw(tab, "one", "two");
  assert.ok(performance.now() - log.refusedAt >= 1000);
  assert.equal(log.requests.at(-1), log.events[0]);
});

test("a connection that has fallen silent is made anew", async () => {
  const tab = openTab({ keepAliveMs: 40 });
  await until(() => isLive(tab));
  log.publish("one");
  await saw(tab, "one");
  await until(() => tab.states.some(([, reason]) => reason === "silent"), "the watchdog");
  log.publish("two");
  await saw(tab, "one", "two");
});

test("a leading tab that is frozen is relieved, and is not heard when it thaws", async () => {
  const [frozen, awake] = [openTab(), openTab({ checkMs: 20, patienceMs: 30 })];
  await until(() => isLive(frozen) && isLive(awake));
  const speak = frozen.feed._channel.onmessage;
  frozen.feed._channel.onmessage = () => undefined; // it still holds lock and connection, and answers nobody
  await until(() => awake.feed.isLeading, "the other tab to lead");
  frozen.feed._channel.onmessage = speak;
  await until(() => log.open.size === 1);
  assert.ok(!frozen.feed.isLeading);
  log.publish("one");
  await saw(awake, "one");
  await saw(frozen, "one");
  awake.close();
  log.publish("two");
  await saw(frozen, "one", "two");
});

test("a leading tab that answers is left alone", async () => {
  const [first, second] = [openTab(), openTab({ checkMs: 5, patienceMs: 40 })];
  await until(() => isLive(first) && isLive(second));
  await new Promise((resolve) => setTimeout(resolve, 150));
  assert.ok(first.feed.isLeading);
  assert.equal(log.requests.length, 1);
});

test("without Web Locks each tab reads for itself", async () => {
  globalThis.navigator = {};
  const [first, second] = [openTab(), openTab()];
  await until(() => isLive(first) && isLive(second));
  assert.equal(log.open.size, 2);
  log.publish("one");
  await saw(first, "one");
  await saw(second, "one");
});

test("a listener that throws does not keep the event from the others", async () => {
  const reported = [];
  globalThis.reportError = (error) => reported.push(error.message);
  try {
    const tab = openTab({
      onEvent: () => {
        throw new Error("mine");
      },
    });
    const types = [];
    const stop = tab.feed.listen({ onEvent: (event) => types.push(event.type) });
    await until(() => isLive(tab));
    log.publish("one");
    await until(() => types.length === 1);
    stop();
    log.publish("two");
    await until(() => reported.length === 2);
    assert.deepEqual([types, reported], [["one"], ["mine", "mine"]]);
    assert.equal(tab.feed.state, "live");
  } finally {
    delete globalThis.reportError;
  }
});

test("a stored cursor never goes backwards, except when ids begin anew", () => {
  const shared = new Storage();
  const [one, other] = [new StoredCursor("name", shared), new StoredCursor("name", shared)];
  one.advance("1700000000000-5");
  other.advance("1700000000000-10");
  one.advance("1700000000000-6");
  one.advance("1699999999999-99");
  assert.equal(other.cursor, "1700000000000-10");
  one.rewind();
  one.advance("5-0");
  assert.equal(other.cursor, "5-0");
});

test("a full storage costs the cursor its permanence, not its use", () => {
  const full = new Storage();
  full.setItem = () => {
    throw new DOMException("full", "QuotaExceededError");
  };
  const cursor = new StoredCursor("name", full);
  cursor.advance("1-0");
  cursor.advance("2-0");
  cursor.advance("1-0");
  assert.equal(cursor.cursor, "2-0");
});

test("ids are compared as numbers", () => {
  assert.ok(isAfter("10-0", "9-0"));
  assert.ok(isAfter("5-10", "5-9"));
  assert.ok(!isAfter("5-9", "5-9"));
  assert.ok(isAfter("12", "7"));
  assert.ok(isAfter("18446744073709551615-1", "18446744073709551615-0"));
});

test("what was seen stays seen when ids begin anew", () => {
  const seen = new Seen();
  assert.ok(seen.take("5-0"));
  assert.ok(!seen.take("4-0"));
  seen.rewind();
  assert.ok(!seen.take("5-0"));
  assert.ok(seen.take("4-0"));
});
