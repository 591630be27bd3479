"""Asking servers that a user named: bounded in time and size, only at checked addresses, never led elsewhere."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urljoin

import httpx

from events.addresses import direct_client, pinned, same_origin, split_url
from plugins.conf import conf

MOST_REDIRECTS = 3
USER_AGENT = "throughline"


class FetchFailed(Exception):
    """A server could not be asked; the message says why, for the user."""


class BadAnswer(FetchFailed):
    """A server answered what cannot be used."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, read completely (or as far as it was wanted)."""

    url: str
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status says so."""
        return 200 <= self.status < 300

    @property
    def media_type(self) -> str:
        """The content type without parameters, in lower case."""
        return str(self.headers.get("content-type", "")).partition(";")[0].strip().lower()

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; raises `BadAnswer`."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise BadAnswer(f"{self.url} answered something that is no JSON object.")
        return value


@dataclass(frozen=True, slots=True)
class Question:
    """A request. `form` or `json` makes it a POST, unless `verb` says otherwise; `content` is a body as it is.

    `enough` is given an event stream piece by piece, and ends the reading of what need not end by itself.
    With `redirects` False an answer that leads elsewhere is given as it is.
    """

    url: str
    verb: str = ""
    content: bytes | None = None
    redirects: bool = True
    form: dict[str, str] | None = None
    json: dict[str, Any] | None = None
    headers: dict[str, str] = field(default_factory=dict)
    basic_auth: tuple[str, str] | None = None
    enough: Callable[[bytes], bool] | None = None

    @property
    def method(self) -> str:
        """As the verb says; else GET, or POST when there is something to send."""
        return self.verb or ("GET" if self.form is None and self.json is None else "POST")


async def fetch(question: Question) -> Answer:
    """Asks within PLUGINS_TIMEOUT_SECONDS. Raises `FetchFailed`, and `BadAddress` for an address that is not called."""
    place = split_url(question.url).hostname
    try:
        async with asyncio.timeout(conf.PLUGINS_TIMEOUT_SECONDS), direct_client() as client:
            return await _follow(client, question)
    except TimeoutError:
        raise FetchFailed(f"{place} did not answer within {conf.PLUGINS_TIMEOUT_SECONDS:g} s.") from None
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
        raise FetchFailed(f"{place} cannot be reached ({type(error).__name__}).") from None


async def _follow(client: httpx.AsyncClient, question: Question) -> Answer:
    """Follows redirects of a GET within its origin. Whatever else is redirected would take its secrets elsewhere."""
    url, first = question.url, split_url(question.url)
    for _ in range(MOST_REDIRECTS + 1):
        answer = await _send(client, question, url)
        if answer.status not in {301, 302, 303, 307, 308} or not question.redirects:
            return answer
        url = urljoin(url, answer.headers.get("location", ""))
        if question.method != "GET" or not same_origin(first, split_url(url)):
            break
    raise BadAnswer(f"{first.hostname} redirects elsewhere, which is not followed.")


async def _send(client: httpx.AsyncClient, question: Question, url: str) -> Answer:
    address, host, names = await pinned(url, unless="PLUGINS_ALLOW_PRIVATE_ADDRESSES")
    # Not compressed: a small body could become a huge one.
    headers = {"Host": host, "User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"}
    request = client.build_request(
        question.method,
        address,
        content=question.content,
        data=question.form,
        json=question.json,
        headers=headers | question.headers,
        extensions=names,
    )
    response = await client.send(request, auth=question.basic_auth, stream=True)
    try:
        return Answer(url, response.status_code, response.headers, await _read(response, question))
    finally:
        await response.aclose()


async def _read(response: httpx.Response, question: Question) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadAnswer(f"{split_url(question.url).hostname} answered compressed, which was not asked for.")
    streamed = response.headers.get("content-type", "").lower().startswith("text/event-stream")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > conf.PLUGINS_ANSWER_MAX_BYTES:
            raise BadAnswer(f"{split_url(question.url).hostname} answered more than {conf.PLUGINS_ANSWER_MAX_BYTES} bytes.")
        if streamed and question.enough is not None and question.enough(piece):
            break
    return bytes(body)
