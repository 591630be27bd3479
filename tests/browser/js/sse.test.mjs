import assert from "node:assert/strict";
import { test } from "node:test";

import { EventStreamParser, EventTooLongError } from "../../../static/events/sse.js";

const bytes = (text) => new TextEncoder().encode(text);

function parse(input, { sizes = [Infinity], ...options } = {}) {
  const parser = new EventStreamParser(options);
  const data = typeof input === "string" ? bytes(input) : input;
  const events = [];
  for (let at = 0, turn = 0; at < data.length; turn += 1) {
    const size = sizes[turn % sizes.length];
    for (const event of parser.feed(data.subarray(at, Math.min(data.length, at + size)))) events.push(event);
    at += size;
  }
  return { events, parser };
}

const of = (input, options) => parse(input, options).events;
const datas = (input, options) => of(input, options).map((event) => event.data);

test("an event is what stands before an empty line", () => {
  assert.deepEqual(of("id: 7\nevent: text\ndata: a\n\n"), [{ event: "text", data: "a", id: "7", lastEventId: "7" }]);
});

test("an event without its empty line does not count, and does not move the cursor", () => {
  const { events, parser } = parse("id: 1\ndata: a\n\nid: 2\ndata: b\n");
  assert.deepEqual(events.map((event) => event.data), ["a"]);
  assert.equal(parser.lastEventId, "1");
});

test("the standard's examples", () => {
  assert.deepEqual(datas("data: YHOO\ndata: +2\ndata: 10\n\n"), ["YHOO\n+2\n10"]);
  assert.deepEqual(
    of(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n").map((e) => [e.data, e.lastEventId]),
    [["first event", "1"], ["second event", ""], [" third event", ""]],
  );
  assert.deepEqual(datas("data\n\ndata\ndata\n\ndata:"), ["", "\n"]);
  assert.deepEqual(datas("data:test\n\ndata: test\n\n"), ["test", "test"]);
});

test("lines may end in LF, CR or CRLF, even mixed", () => {
  for (const end of ["\n", "\r", "\r\n"]) assert.deepEqual(datas(`data: a${end}data: b${end}${end}data: c${end}${end}`), ["a\nb", "c"]);
  assert.deepEqual(datas("data: a\r\ndata: b\r\rdata: c\n\r\n"), ["a\nb", "c"]);
});

test("CR and LF in two chunks are one line end", () => {
  const parser = new EventStreamParser();
  assert.equal(parser.feed(bytes("data: a\r")).length, 0);
  assert.equal(parser.feed(bytes("")).length, 0);
  assert.equal(parser.feed(bytes("\ndata: b\r")).length, 0);
  assert.deepEqual(parser.feed(bytes("\n\r")).map((e) => e.data), ["a\nb"]);
  assert.deepEqual(parser.feed(bytes("\ndata: c\n\n")).map((e) => e.data), ["c"]);
});

test("one byte order mark at the very beginning is skipped, a second one is not", () => {
  assert.deepEqual(datas("\uFEFFdata: a\n\n"), ["a"]);
  assert.deepEqual(datas("\uFEFFdata: a\n\n", { sizes: [1] }), ["a"]);
  assert.deepEqual(datas("\uFEFF\uFEFFdata: a\n\ndata: b\n\n"), ["b"]);
});

test("comments, unknown fields and empty events are passed over", () => {
  assert.deepEqual(datas(":\n\n: x\nfoo: bar\nfoo\ndata: a\n:\n\nevent: only\n\nid: 3\n\n"), ["a"]);
});

test("an id without data still moves the cursor, as the standard says", () => {
  assert.equal(parse("id: 3\n\n").parser.lastEventId, "3");
});

test("an id with NUL is ignored", () => {
  assert.deepEqual(of("id: 1\ndata: a\n\nid: 2\0\ndata: b\n\n").map((e) => [e.id, e.lastEventId]), [["1", "1"], [null, "1"]]);
});

test("the cursor stays for events without an id, an empty id clears it", () => {
  assert.deepEqual(of("id: 1\ndata: a\n\ndata: b\n\nid\ndata: c\n\n").map((e) => [e.id, e.lastEventId]), [["1", "1"], [null, "1"], ["", ""]]);
});

test("a cursor brought along is kept until the stream gives another", () => {
  assert.equal(of("data: a\n\n", { lastEventId: "9" })[0].lastEventId, "9");
});

test("the event name does not carry over to the next event", () => {
  assert.deepEqual(of("event: x\ndata: a\n\ndata: b\n\nevent:\ndata: c\n\n").map((e) => e.event), ["x", "message", "message"]);
});

test("retry is taken when it is digits only", () => {
  assert.equal(parse("retry: 200\n").parser.retry, 200);
  for (const bad of ["retry: 2s\n", "retry: -1\n", "retry:\n", "retry: 1.5\n"]) assert.equal(parse(bad).parser.retry, null);
});

test("broken UTF-8 becomes U+FFFD and nothing else is lost", () => {
  const input = new Uint8Array([...bytes("data: a"), 0xff, 0xf0, 0x9f, ...bytes("b\n\n")]);
  assert.deepEqual(datas(input), ["a\uFFFD\uFFFDb"]);
});

test("the events are the same wherever the bytes are cut", () => {
  const input = bytes('\uFEFF:\r\nretry: 5\r\nid: 1\ndata: "žluťoučký 🐎"\r\rid: ü2\r\nevent: é\r\ndata: 👩‍👩‍👧\ndata:\n\n: 🐎\ndata: end\r\n\r\n');
  const whole = of(input);
  assert.equal(whole.length, 3);
  for (let cut = 0; cut <= input.length; cut += 1) {
    for (let second = cut; second <= input.length; second += 1) {
      const parser = new EventStreamParser();
      const events = [input.subarray(0, cut), input.subarray(cut, second), input.subarray(second)].flatMap((part) => parser.feed(part));
      assert.deepEqual(events, whole, `cut at ${cut} and ${second}`);
    }
  }
  assert.deepEqual(of(input, { sizes: [1] }), whole);
});

test("one long event in tiny pieces takes linear time", () => {
  const started = performance.now();
  assert.equal(datas(`data: ${"x".repeat(2_000_000)}\n\n`, { sizes: [7] })[0].length, 2_000_000);
  assert.ok(performance.now() - started < 5_000);
});

test("many events in one piece take linear time", () => {
  const started = performance.now();
  assert.equal(of("id: 1\ndata: {}\n\n".repeat(200_000)).length, 200_000);
  assert.ok(performance.now() - started < 5_000);
});

test("an event without end is refused instead of filling the memory", () => {
  assert.throws(() => of(`data: ${"x".repeat(200)}`, { maxLength: 100 }), EventTooLongError);
  assert.throws(() => of("data: x\n".repeat(100), { maxLength: 100 }), EventTooLongError);
  assert.deepEqual(datas("data: x\n\n".repeat(100), { maxLength: 100 }).length, 100);
  assert.deepEqual(datas(`${": keep-alive\n".repeat(1000)}data: x\n\n`, { maxLength: 100 }), ["x"]);
});
