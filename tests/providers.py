"""A stand-in for a language model provider: a real HTTP server with as many faults as one asks for.

    async with StubProvider() as provider:
        provider.scripts["hangs"] = [{"text": "Hel"}, {"hang": True}]
        engine = OpenAIEngine(base_url=provider.base_url, model="hangs")

What it does is chosen, in this order, by the last user message when it begins with `!provider `
followed by a JSON list of steps, by `scripts[model]`, by a model name from `BEHAVIOURS`, by a
model named `status-<n>` or `tokens-<n>-<per second>`; else the words of the question come back. Steps:

    {"text": ".."} {"reasoning": ".."}      a chunk with that delta
    {"delta": {..}} {"chunk": {..}}         a chunk with any delta; any JSON as an event
    {"usage": [3, 5]} {"finish": "stop"} {"done": true}
    {"raw": "..", or bytes}                 these bytes, whatever they are
    {"json": {..}}                          an ordinary, not streamed, response; nothing may follow
    {"status": 429, "headers": {..}, "body": ..}  a response that is an error; nothing may follow
    {"headers": {..}}                       headers of the response, before anything else
    {"framing": "close"}                    a body that ends with the connection, not chunked; before anything else
    {"split": 1}                            from here on, bytes leave in pieces of so many
    {"pause": 0.5} {"hang": true}
    {"tokens": 200, "per_second": 50}       chunks with the words `w0 w1 ..`
    {"results": true}                       what follows is played when the request brings what tools have said; once per round
    {"close": true}                         the connection, at once, without an end of the body
    {"reset": true}                         the same, by RST

With `drops_reused` a second request on a connection finds it closed, as if it had been idle for too
long. `requests` records each request with its body, and when its connection was closed by the client.
For other processes: `python -m tests.providers [--port N]` prints the base address;
`GET /requests` gives the records as JSON.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

DONE = [{"finish": "stop"}, {"usage": [3, 5]}, {"done": True}]
BEHAVIOURS: dict[str, list[dict]] = {
    "silent": [{"hang": True}],
    "headers-only": [{"raw": ""}, {"hang": True}],
    "no-answer": [{"close": True}],
    "empty": [{"raw": ""}],
    "hangs": [{"text": "Hello"}, {"text": " wor"}, {"hang": True}],
    "closes-early": [{"text": "Hello"}, {"text": " wor"}, {"close": True}],
    "resets": [{"text": "Hello"}, {"text": " wor"}, {"pause": 0.1}, {"reset": True}],
    "no-finish": [{"text": "Hello"}, {"text": " wor"}],
    "done-without-finish": [{"text": "Hello"}, {"text": " wor"}, {"done": True}],
    "garbage": [{"raw": b"\x00\xff\xfenot a stream at all\r\n" * 40}],
    "html": [{"headers": {"Content-Type": "text/html"}}, {"raw": "<!doctype html>\n<h1>It works!</h1>\n"}],
    "error-inside": [{"text": "Hello"}, {"chunk": {"error": {"message": "The model is overloaded.", "type": "overloaded"}}}],
    "plain-json": [
        {
            "json": {
                "choices": [{"message": {"role": "assistant", "content": "Hello world"}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 3, "completion_tokens": 2},
            }
        }
    ],
    "emoji-bytes": [{"split": 1}, {"raw": 'data: {"choices":[{"delta":{"content":"a\U0001f600b"}}]}\n\n'}, *DONE],
    "reasons": [{"reasoning": "Let me think."}, {"text": "42"}, *DONE],
}


@dataclass
class Recorded:
    """One request: times are of `time.monotonic()`."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict
    began: float
    connection: int
    ended: float | None = None
    closed: float | None = None
    sent_bytes: int = 0
    over: asyncio.Event = field(default_factory=asyncio.Event, repr=False)


class _Connection(asyncio.StreamReaderProtocol):
    """Tells at once, by `gone`, when the client has closed."""

    def __init__(self, reader: asyncio.StreamReader, serve, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(reader, serve, loop=loop)
        self.gone = asyncio.Event()

    def eof_received(self) -> bool | None:
        self.gone.set()
        return super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        super().connection_lost(exc)


class StubProvider:
    """See the module. `models` is what `GET /v1/models` lists; `base_url` is known once it is entered."""

    def __init__(self, *, port: int = 0) -> None:
        self.scripts: dict[str, list[dict]] = {}
        self.models = ["stub-model"]
        self.requests: list[Recorded] = []
        self.connections = 0
        self.drops_reused = False
        self.base_url = ""
        self._port = port
        self._tasks: set[asyncio.Task] = set()

    async def __aenter__(self) -> "StubProvider":
        loop = asyncio.get_running_loop()

        def connection() -> _Connection:
            reader = asyncio.StreamReader(loop=loop)
            protocol = _Connection(reader, lambda r, w: self._serve(r, w, protocol), loop)
            return protocol

        self._server = await loop.create_server(connection, "127.0.0.1", self._port, backlog=1024)
        self.base_url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
        return self

    async def __aexit__(self, *_) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def asked(self) -> list[Recorded]:
        """The requests for completions."""
        return [each for each in self.requests if each.path.endswith("/chat/completions")]

    async def arrived(self, count: int = 1, *, within: float = 5.0) -> None:
        """Waits until so many requests for completions have come."""
        async with asyncio.timeout(within):
            while len(self.asked) < count:  # noqa: ASYNC110 - nobody to signal yet
                await asyncio.sleep(0.005)

    async def closed(self, position: int = -1, *, within: float = 5.0) -> Recorded:
        """That request for a completion, once the client has closed its connection or the answer is over."""
        async with asyncio.timeout(within):
            await self.arrived(max(position + 1, 1), within=within)
            await self.asked[position].over.wait()
        return self.asked[position]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, protocol: _Connection) -> None:
        task = asyncio.current_task()
        self._tasks.add(task)
        self.connections += 1
        number = self.connections
        served = 0
        try:
            while (request := await _request(reader, number)) is not None:
                if served and self.drops_reused:
                    break
                served += 1
                self.requests.append(request)
                if not await self._respond(request, writer, protocol):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _respond(self, request: Recorded, writer: asyncio.StreamWriter, protocol: _Connection) -> bool:
        """Answers, unless the client goes first; whether the connection can carry another request."""
        answer = asyncio.create_task(_Answer(request, writer).play(_part(self._steps(request), request.body)))
        gone = asyncio.create_task(protocol.gone.wait())
        try:
            await asyncio.wait({answer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answer.done():
                request.closed = time.monotonic()
                return False
            return answer.result()
        finally:
            request.ended = time.monotonic()
            request.over.set()
            for each in (answer, gone):
                each.cancel()
            await asyncio.gather(answer, gone, return_exceptions=True)

    def _steps(self, request: Recorded) -> list[dict]:
        if request.path == "/requests":
            records = [asdict_of(each) for each in self.requests]
            return [{"json": records}]
        if request.path.endswith("/models"):
            return [{"json": {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}}]
        if not request.path.endswith("/chat/completions"):
            return [{"status": 404, "body": {"error": {"message": "no such path"}}}]
        model = str(request.body.get("model", ""))
        asked = [each["content"] for each in request.body.get("messages", []) if each.get("role") == "user"]
        question = asked[-1] if asked else ""
        if question.startswith("!provider "):
            return json.loads(question.removeprefix("!provider "))
        if model in self.scripts:
            return self.scripts[model]
        if model in BEHAVIOURS:
            return BEHAVIOURS[model]
        kind, *numbers = model.split("-")
        if kind == "status":
            message = f"The stub answers {numbers[0]}."
            return [{"status": int(numbers[0]), "body": {"error": {"message": message, "type": "stub"}}}]
        if kind == "tokens":
            return [{"tokens": int(numbers[0]), "per_second": float(numbers[1])}, *DONE]
        words = question.split()
        return [{"text": word if not i else f" {word}"} for i, word in enumerate(words)] + DONE


def _part(steps: list[dict], body: dict) -> list[dict]:
    """The steps after as many `results` as there are rounds of tools in the request."""
    parts: list[list[dict]] = [[]]
    for step in steps:
        if "results" in step:
            parts.append([])
        else:
            parts[-1].append(step)
    rounds = sum("tool_calls" in message for message in body.get("messages", []))
    return parts[min(rounds, len(parts) - 1)]


class _Answer:
    """One response being written."""

    def __init__(self, request: Recorded, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.writer = writer
        self.headers = {"Content-Type": "text/event-stream"}
        self.chunked = True
        self.split = 0
        self.started = False

    async def play(self, steps: list[dict]) -> bool:
        for step in steps:
            if "status" in step or "json" in step:
                return await self._whole(step)
            if "close" in step or "reset" in step:
                return self._break(reset="reset" in step)
            await self._step(step)
        await self._start()
        if self.chunked:
            await self._write(b"0\r\n\r\n")
        return self.chunked

    async def _step(self, step: dict) -> None:
        match step:
            case {"headers": headers}:
                self.headers |= headers
            case {"framing": framing}:
                self.chunked = framing != "close"
            case {"split": size}:
                self.split = size
            case {"pause": seconds}:
                await asyncio.sleep(seconds)
            case {"hang": _}:
                await asyncio.get_running_loop().create_future()
            case {"raw": raw}:
                await self._send(raw if isinstance(raw, bytes) else raw.encode())
            case {"tokens": count, **rest}:
                await self._tokens(count, rest.get("per_second", 0))
            case _:
                await self._send(_event(step))

    async def _tokens(self, count: int, rate: float) -> None:
        start = time.monotonic()
        for number in range(count):
            if rate and (delay := start + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(delay)
            await self._send(_event({"text": f"w{number} "}))

    async def _whole(self, step: dict) -> bool:
        body = step["json"] if "json" in step else step.get("body", "")
        data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))} | step.get("headers", {})
        await self._write(_head(step.get("status", 200), headers) + data)
        return True

    def _break(self, *, reset: bool) -> bool:
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.writer.transport.abort()
        return False

    async def _start(self) -> None:
        if not self.started:
            self.started = True
            self.headers |= {"Transfer-Encoding": "chunked"} if self.chunked else {"Connection": "close"}
            await self._write(_head(200, self.headers))

    async def _send(self, data: bytes) -> None:
        await self._start()
        size = self.split or len(data) or 1
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await self._write(b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece)
            if self.split:
                # So that each piece is a read of its own at the other end, as far as TCP allows.
                await asyncio.sleep(0)

    async def _write(self, data: bytes) -> None:
        self.writer.write(data)
        self.request.sent_bytes += len(data)
        await self.writer.drain()


def asdict_of(request: Recorded) -> dict:
    """A record without what is no data."""
    return {key: value for key, value in vars(request).items() if key != "over"}


def _event(step: dict) -> bytes:
    match step:
        case {"done": _}:
            return b"data: [DONE]\n\n"
        case {"chunk": payload}:
            return b"data: %b\n\n" % json.dumps(payload).encode()
        case {"usage": [given, made]}:
            payload: dict = {"choices": [], "usage": {"prompt_tokens": given, "completion_tokens": made}}
        case {"finish": reason}:
            payload = {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
        case {"text": text}:
            payload = {"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]}
        case {"reasoning": text}:
            payload = {"choices": [{"index": 0, "delta": {"reasoning_content": text}, "finish_reason": None}]}
        case {"delta": delta}:
            payload = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        case _:
            raise ValueError(f"no such step: {step}")
    return b"data: %b\n\n" % json.dumps(payload).encode()


def _head(status: int, headers: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Stub", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


async def _request(reader: asyncio.StreamReader, connection: int) -> Recorded | None:
    """The next request of a connection, None when the client has no more."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, path, _ = first.split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    data = await reader.readexactly(int(headers.get("content-length", 0)))
    return Recorded(method, path, headers, json.loads(data) if data else {}, time.monotonic(), connection)


@contextlib.contextmanager
def provider_in_thread() -> Iterator[StubProvider]:
    """A provider that runs beside code which is not async."""
    provider, ready, loop = StubProvider(), threading.Event(), asyncio.new_event_loop()
    over = asyncio.Event()

    async def run() -> None:
        async with provider:
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield provider
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)
        loop.close()


async def _main(port: int) -> None:
    async with StubProvider(port=port) as provider:
        print(provider.base_url, flush=True)  # noqa: T201 - the reader is another process
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A stand-in for a language model provider.")
    parser.add_argument("--port", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main(parser.parse_args().port))
