"""Streams through a real nginx that nobody has configured for streams: HTTP/1.0 upstream, buffering, compression.

A response that ends with its connection would be held back by such an nginx (X-Accel-Buffering tells it not to), a chunked one is
not; and it would compress, and so hold back, a stream that does not already have a Content-Encoding.
"""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.live.conftest import Client, measured
from tests.live.processes import Stack, eventually, free_port
from tests.patience import patiently

SECONDS = 1.0
HANGING = [{"text": "Begun. "}, {"hang": True}]

# Nothing about proxies but where to. `compressing` also wants every event stream compressed, as some do with `gzip_types *`.
CONFIGURATION = """
daemon off; {user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {compression}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass {upstream}; proxy_set_header Host $http_host; }}
    }}
}}
"""
COMPRESSION = {
    "default": "",
    "compressing": "gzip on; gzip_proxied any; gzip_min_length 0; gzip_http_version 1.0; gzip_types *;",
}


@pytest.fixture(scope="module", params=COMPRESSION)
def nginx(
    request: pytest.FixtureRequest, nginx_path: str, session_stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of an nginx in front of a web process."""
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    configuration = folder / "nginx.conf"
    configuration.write_text(
        CONFIGURATION.format(
            folder=folder,
            port=port,
            upstream=session_stack.addresses[0],
            compression=COMPRESSION[request.param],
            user="user root;" if os.geteuid() == 0 else "",
        )
    )
    process = subprocess.Popen([nginx_path, "-p", str(folder), "-c", str(configuration), "-e", str(folder / "error.log")])
    try:
        _wait_until_it_answers(process, port, folder)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(patiently(10))


def _wait_until_it_answers(process: subprocess.Popen[bytes], port: int, folder: Path) -> None:
    deadline = time.monotonic() + patiently(20)
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"nginx does not answer: {(folder / 'error.log').read_text()}")


class Body:
    """What has come of a response, and when the first of it."""

    def __init__(self, response: httpx.Response, began: float) -> None:
        self.response = response
        self.began = began
        self.text = ""

    def has(self, words: str) -> bool:
        """Whether that has come."""
        return words in self.text


@asynccontextmanager
async def opened(client: Client, address: str, method: str, path: str, **options: Any) -> AsyncIterator[Body]:
    """A stream, read all the while, as a browser asks for it: ready for compression."""
    headers = client.headers | {"Accept-Encoding": "gzip, deflate, br"} | options.pop("headers", {})
    began = time.monotonic()
    async with (
        httpx.AsyncClient(timeout=30) as http,
        http.stream(method, f"{address}{path}", headers=headers, **options) as response,
    ):
        assert response.status_code == 200, await response.aread()
        body = Body(response, began)

        async def read() -> None:
            async for piece in response.aiter_text():
                body.text += piece

        reading = asyncio.create_task(read())
        try:
            yield body
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def arrives(body: Body, words: str, what: str, *, since: float | None = None) -> None:
    """Within a second of its beginning (or of `since`), while the stream stays open."""
    began = body.began if since is None else since
    await eventually(lambda: body.has(words), within=10, what=f"{words!r} of {what}; so far came {body.text!r}")
    took = time.monotonic() - began
    measured(f"nginx: {what}", took)
    assert took < patiently(SECONDS), f"{what} took {took:.2f} s"
    assert body.response.headers["content-type"].startswith("text/event-stream")


async def test_the_user_feed_arrives_at_once(nginx: str, stack: Stack, alice: Client) -> None:
    async with opened(alice, nginx, "GET", "/api/events") as feed:
        await arrives(feed, ": connected\n", "the first frame of the user feed")
        published = time.monotonic()
        await alice.ask([{"text": "x"}])
        await arrives(feed, '"message.started"', "an event of the user feed", since=published)


async def test_the_users_missed_events_arrive_at_once(nginx: str, stack: Stack, alice: Client) -> None:
    await alice.ask([{"text": "x"}])
    async with opened(alice, nginx, "GET", "/api/events", headers={"Last-Event-ID": "0"}) as feed:
        await arrives(feed, "\n\nid: ", "the first missed event")


async def test_a_question_and_its_answer_arrive_at_once(nginx: str, stack: Stack, alice: Client) -> None:
    question = {"question": f"!script {json.dumps(HANGING)}"}
    async with opened(alice, nginx, "POST", "/stream", json=question) as answer:
        await arrives(answer, '"message_id"', "the first frame of POST /stream")
        await eventually(lambda: answer.has("Begun. "), within=10, what="the text of an answer that goes on")
        message_id = json.loads(answer.text.partition("data: ")[2].partition("\n")[0])["message_id"]
    async with opened(alice, nginx, "GET", f"/api/messages/{message_id}/events") as again:
        await arrives(again, "Begun. ", "a running answer, read again")
    await alice.stop(message_id)


async def test_the_rag_chat_arrives_at_once(nginx: str, stack: Stack, alice: Client) -> None:
    body = {"query": f"!script {json.dumps(HANGING)}", "context_mode": "none"}
    async with opened(alice, nginx, "POST", "/api/v1/chat/stream", json=body) as answer:
        await arrives(answer, "event: sources\n", "the first frame of POST /api/v1/chat/stream")
        await eventually(lambda: answer.has("Begun. "), within=10, what="the text of an answer that goes on")
        location = answer.response.headers["Location"]
    async with opened(alice, nginx, "GET", location) as again:
        await arrives(again, "event: sources\n", "the RAG chat, read again")
    await alice.stop(location.rpartition("/")[2])
