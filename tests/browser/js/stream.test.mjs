import assert from "node:assert/strict";
import http from "node:http";
import { after, afterEach, before, test } from "node:test";

import { openStream } from "../../../static/events/stream.js";

const TEXT = "Žluťoučký kůň 🐎 — a line\nand “another” one.";
const PIECES = [...TEXT].reduce((pieces, letter, index) => {
  if (index % 6 === 0) pieces.push("");
  pieces[pieces.length - 1] += letter;
  return pieces;
}, []);
const FRAMES = [
  { type: "message_id", message_id: "m1", conversation_id: "c1" },
  ...PIECES.map((answer) => ({ type: "answer", answer })),
  { type: "end" },
].map((data, index) => `id: ${index + 1}\r\ndata: ${JSON.stringify(data)}\r\n\r\n`);

let server;
let respond;
let requests = [];
const open = new Set();

before(async () => {
  server = http.createServer((request, response) => {
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => {
      request.text = Buffer.concat(chunks).toString();
      requests.push(request);
      respond(request, response);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
});
after(() => {
  server.closeAllConnections();
  server.close();
});
afterEach(() => {
  for (const stream of open) stream.close();
  open.clear();
  requests = [];
});

const address = (path = "/events") => `http://127.0.0.1:${server.address().port}${path}`;
const startStream = (response, headers = {}) => response.writeHead(200, { "Content-Type": "text/event-stream", ...headers }).flushHeaders();
const cursorOf = (request) => Number(request.headers["last-event-id"] ?? 0);
const isEnd = (event) => event.json?.type === "end";

/** Writes, lets the bytes go out, then cuts the connection as a dying proxy would. */
function writeAndCut(response, bytes) {
  startStream(response);
  if (bytes.length === 0) setImmediate(() => response.destroy());
  else response.write(bytes, () => setImmediate(() => response.destroy()));
}

function read(options) {
  const seen = { events: [], states: [], gaps: [] };
  const stream = openStream({
    url: address(),
    retryMs: 1,
    maxRetryMs: 5,
    isTerminal: isEnd,
    ...options,
    onEvent: (event) => {
      seen.events.push(event);
      options?.onEvent?.(event);
    },
    onState: (state, detail) => {
      seen.states.push([state, detail.reason ?? ""]);
      seen.onState?.(state, detail);
    },
    onGap: (gap) => seen.gaps.push(gap),
  });
  open.add(stream);
  return Object.assign(seen, {
    stream,
    text: () => seen.events.map((event) => event.json.answer ?? "").join(""),
    ids: () => seen.events.map((event) => event.id),
    reached: (wanted) =>
      new Promise((resolve) => {
        seen.onState = (state, detail) => state === wanted && resolve(detail);
      }),
  });
}

const ALL_IDS = FRAMES.map((_, index) => String(index + 1));

function assertExact(seen) {
  assert.deepEqual(seen.ids(), ALL_IDS);
  assert.equal(seen.text(), TEXT);
}

test("a stream is read to its terminal event", async () => {
  respond = (_request, response) => {
    startStream(response);
    response.write(FRAMES.join("") + 'id: 99\ndata: {"type":"answer","answer":"after the end"}\n\n'); // and stays open
  };
  const seen = read();
  assert.deepEqual(await seen.stream.done, { state: "ended", reason: "terminal" });
  assertExact(seen);
  assert.deepEqual(seen.states.map(([state]) => state), ["connecting", "live", "ended"]);
  assert.equal(seen.stream.cursor, String(FRAMES.length));
});

test("a connection cut at any byte leaves nothing lost and nothing doubled", async () => {
  const whole = Buffer.from(FRAMES.join(""));
  for (let cut = 0; cut < whole.length; cut += 1) {
    let connections = 0;
    respond = (request, response) => {
      connections += 1;
      if (connections === 1) return writeAndCut(response, whole.subarray(0, cut));
      startStream(response);
      return response.end(FRAMES.slice(cursorOf(request)).join(""));
    };
    const seen = read();
    assert.equal((await seen.stream.done).reason, "terminal", `cut at ${cut}`);
    assertExact(seen);
  }
});

test("a connection cut after every single event, and inside each next one", async () => {
  respond = (request, response) => {
    const rest = Buffer.from(FRAMES.slice(cursorOf(request)).join(""));
    writeAndCut(response, rest.subarray(0, Buffer.byteLength(FRAMES[cursorOf(request)]) + 9));
  };
  const seen = read();
  await seen.stream.done;
  assertExact(seen);
  assert.deepEqual(requests.map(cursorOf), FRAMES.map((_, index) => index));
});

test("a response that ends cleanly after a page is continued from the cursor", async () => {
  respond = (request, response) => {
    startStream(response);
    response.end(`retry: 2\n${FRAMES.slice(cursorOf(request), cursorOf(request) + 3).join("")}`);
  };
  const seen = read({ retryMs: 60_000, maxRetryMs: 60_000 });
  await seen.stream.done;
  assertExact(seen);
});

test("a cursor brought along is sent at once", async () => {
  respond = (request, response) => {
    startStream(response);
    response.end(FRAMES.slice(cursorOf(request)).join(""));
  };
  const seen = read({ cursor: "3" });
  await seen.stream.done;
  assert.deepEqual(seen.ids(), ALL_IDS.slice(3));
});

test("a POST that breaks is continued by a GET of the address that resume gives", async () => {
  respond = (request, response) => {
    if (request.method === "POST") return writeAndCut(response, FRAMES.slice(0, 2).join("") + "id: 3\ndata: {");
    startStream(response);
    return response.end(FRAMES.slice(cursorOf(request)).join(""));
  };
  const seen = read({
    method: "POST",
    body: '{"question":"?"}',
    headers: { "Content-Type": "application/json", "Idempotency-Key": "k" },
    resume: ({ first }) => (first ? address(`/api/messages/${first.json.message_id}/events`) : null),
  });
  await seen.stream.done;
  assertExact(seen);
  assert.deepEqual(requests.map((r) => [r.method, r.url, r.text, cursorOf(r)]), [
    ["POST", "/events", '{"question":"?"}', 0],
    ["GET", "/api/messages/m1/events", "", 2],
  ]);
});

test("a POST that breaks before anything came is repeated with the same key", async () => {
  respond = (_request, response) => {
    if (requests.length === 1) return response.destroy();
    if (requests.length === 2) return writeAndCut(response, "id: 1\ndata:");
    startStream(response);
    return response.end(FRAMES.join(""));
  };
  const seen = read({ method: "POST", body: "{}", headers: () => ({ "Idempotency-Key": "k" }), resume: ({ first }) => first && "/never" });
  await seen.stream.done;
  assertExact(seen);
  assert.deepEqual(requests.map((r) => [r.method, r.text, r.headers["idempotency-key"]]), Array(3).fill(["POST", "{}", "k"]));
});

for (const [status, reason] of [[400, "refused"], [401, "unauthorized"], [403, "forbidden"], [404, "not_found"], [409, "refused"], [410, "not_found"]]) {
  test(`${status} ends in failed: ${reason}, with the server's words, and is not tried again`, async () => {
    respond = (_request, response) => response.writeHead(status).end('{"success":false,"message":"Because."}');
    const seen = read();
    assert.deepEqual(await seen.stream.done, { state: "failed", reason, status, message: "Because.", retryAfterMs: null });
    assert.equal(requests.length, 1);
  });
}

test("a refusal in the middle of reconnecting ends it as well", async () => {
  respond = (_request, response) => (requests.length === 1 ? writeAndCut(response, FRAMES[0]) : response.writeHead(401).end("<html>"));
  const seen = read();
  assert.equal((await seen.stream.done).reason, "unauthorized");
  assert.deepEqual(seen.states.map(([state]) => state), ["connecting", "live", "reconnecting", "failed"]);
});

for (const status of [429, 503]) {
  test(`${status} waits at least as long as Retry-After says`, async () => {
    respond = (_request, response) => {
      if (requests.length === 1) return response.writeHead(status, { "Retry-After": "1" }).end('{"detail":"Later."}');
      startStream(response);
      return response.end(FRAMES.join(""));
    };
    const seen = read();
    const detail = await seen.reached("reconnecting");
    const { delayMs, ...rest } = detail;
    assert.deepEqual(rest, { reason: "busy", status, message: "Later.", retryAfterMs: 1000, attempt: 1 });
    assert.ok(delayMs >= 1000 && delayMs <= 1001, String(delayMs)); // and its own jitter on top
    const started = performance.now();
    await seen.stream.done;
    assert.ok(performance.now() - started > 900);
    assertExact(seen);
  });
}

test("retryNow cuts the wait short", async () => {
  respond = (_request, response) => {
    if (requests.length === 1) return response.writeHead(500).end();
    startStream(response);
    return response.end(FRAMES.join(""));
  };
  const seen = read({ retryMs: 3_600_000, maxRetryMs: 3_600_000 });
  await seen.reached("reconnecting");
  setImmediate(() => seen.stream.retryNow());
  await seen.stream.done;
  assertExact(seen);
});

test("it gives up after maxAttempts without an event", async () => {
  respond = (_request, response) => response.writeHead(502).end();
  const seen = read({ maxAttempts: 3 });
  assert.equal((await seen.stream.done).reason, "server_error");
  assert.equal(requests.length, 3);
});

test("nobody listening is told as unreachable", async () => {
  const seen = read({ url: "http://127.0.0.1:1/", maxAttempts: 2 });
  const outcome = await seen.stream.done;
  assert.equal(outcome.state, "failed");
  assert.equal(outcome.reason, "unreachable");
});

test("a log-in page instead of a stream is not read as one", async () => {
  respond = (_request, response) => response.writeHead(200, { "Content-Type": "text/html" }).end("<html>Log in</html>");
  assert.equal((await read().stream.done).reason, "not_a_stream");
});

test("204 ends the stream", async () => {
  respond = (_request, response) => response.writeHead(204).end();
  assert.deepEqual(await read().stream.done, { state: "ended", reason: "nothing" });
});

test("a connection that is silent for 2.5 keep-alives is given up and continued", async () => {
  respond = (request, response) => {
    startStream(response);
    if (requests.length === 1) response.write(FRAMES[0]); // then nothing, for ever
    else response.end(FRAMES.slice(cursorOf(request)).join(""));
  };
  const seen = read({ keepAliveMs: 60 });
  await seen.stream.done;
  assertExact(seen);
  assert.deepEqual(seen.states.map(([, reason]) => reason), ["", "", "silent", "", "terminal"]);
});

test("keep-alives keep a quiet connection", async () => {
  respond = (_request, response) => {
    startStream(response);
    let beats = 0;
    const timer = setInterval(() => {
      beats += 1;
      response.write(":\n");
      if (beats === 20) {
        clearInterval(timer);
        response.end(FRAMES.join(""));
      }
    }, 40);
  };
  const seen = read({ keepAliveMs: 100 });
  await seen.stream.done;
  assertExact(seen);
  assert.equal(requests.length, 1);
});

test("close stops at once, even between two events of one chunk", async () => {
  respond = (_request, response) => {
    startStream(response);
    response.write(FRAMES.join(""));
  };
  const seen = read({ onEvent: (event) => event.id === "2" && seen.stream.close() });
  assert.deepEqual(await seen.stream.done, { state: "ended", reason: "aborted" });
  assert.deepEqual(seen.ids(), ["1", "2"]);
});

test("a signal stops a connection, and a wait", async () => {
  for (const isWaiting of [false, true]) {
    const controller = new AbortController();
    respond = (_request, response) => (isWaiting ? response.writeHead(500).end() : startStream(response));
    const seen = read({ signal: controller.signal, retryMs: 60_000, maxRetryMs: 60_000 });
    await seen.reached(isWaiting ? "reconnecting" : "live");
    setImmediate(() => controller.abort());
    assert.deepEqual(await seen.stream.done, { state: "ended", reason: "aborted" });
  }
});

test("a signal that is already aborted opens nothing", async () => {
  assert.deepEqual(await read({ signal: AbortSignal.abort() }).stream.done, { state: "ended", reason: "aborted" });
  assert.equal(requests.length, 0);
});

test("backlog.truncated is told as a gap, and reading goes on", async () => {
  respond = (_request, response) => {
    startStream(response);
    response.end(`data: {"type":"backlog.truncated","payload":{"oldest_retained_id":"5","reason":"trimmed"}}\n\n${FRAMES.at(-1)}`);
  };
  const seen = read({ cursor: "1" });
  await seen.stream.done;
  assert.deepEqual(seen.gaps, [{ oldest_retained_id: "5", reason: "trimmed" }]);
  assert.equal(seen.events.length, 1);
});

test("a break before the first cursor is a gap", async () => {
  respond = (_request, response) => {
    if (requests.length === 1) return writeAndCut(response, ": connected\n\n");
    startStream(response);
    return response.end(FRAMES.at(-1));
  };
  const seen = read();
  await seen.stream.done;
  assert.deepEqual(seen.gaps, [{ reason: "no_cursor" }]);
});

test("an error in onEvent stops the stream and is thrown, not retried", async () => {
  respond = (_request, response) => {
    startStream(response);
    response.end(FRAMES.join(""));
  };
  const seen = read({
    onEvent: () => {
      throw new TypeError("mine");
    },
  });
  await assert.rejects(seen.stream.done, new TypeError("mine"));
  assert.deepEqual(seen.states.at(-1), ["failed", "consumer"]);
  assert.equal(requests.length, 1);
});

test("the network's return ends a wait, and a connection from before it", async () => {
  const page = new EventTarget();
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  try {
    respond = (request, response) => {
      if (requests.length === 1) return response.writeHead(500).end();
      startStream(response);
      return requests.length === 2 ? response.write(FRAMES[0]) : response.end(FRAMES.slice(cursorOf(request)).join(""));
    };
    const seen = read({ retryMs: 3_600_000, maxRetryMs: 3_600_000, onEvent: (event) => event.id === "1" && setImmediate(() => page.dispatchEvent(new Event("online"))) });
    await seen.reached("reconnecting");
    setImmediate(() => page.dispatchEvent(new Event("online")));
    await seen.stream.done;
    assertExact(seen);
    assert.deepEqual(requests.map(cursorOf), [0, 0, 1]);
  } finally {
    delete globalThis.addEventListener;
    delete globalThis.removeEventListener;
  }
});

test("the state live tells the server's time", async () => {
  respond = (_request, response) => {
    startStream(response, { Date: "Thu, 01 Jan 1970 00:00:10 GMT" });
    response.end(FRAMES.join(""));
  };
  const seen = read();
  assert.equal((await seen.reached("live")).serverTime, 10_000);
});

test("a server that sends no events is not asked again and again", async () => {
  respond = (_request, response) => {
    startStream(response);
    response.end(": push_disabled\n\n");
  };
  assert.deepEqual(await read().stream.done, { state: "ended", reason: "push_disabled" });
  assert.equal(requests.length, 1);
});
