"""Just enough of MCP's Streamable HTTP to learn which tools a server has."""

import json
from dataclasses import dataclass
from typing import Any

from plugins.fetching import Answer, BadAnswer, Question, fetch

PROTOCOL = "2025-06-18"
MOST_TOOLS = 1000
MOST_PAGES = 20
LONGEST_NAME = 200
LONGEST_DESCRIPTION = 1000

Tool = dict[str, str]
"""`name` and `description`."""


class NoMcpServer(Exception):
    """What answered does not speak MCP."""


class TokenRefused(BadAnswer):
    """The MCP server wants a token, or another one."""


@dataclass(frozen=True, slots=True)
class Session:
    """An initialized session: the headers that every further request carries."""

    url: str
    headers: dict[str, str]


async def knock(url: str) -> Answer:
    """What the server answers to one without a token: 401 where it wants one. Raises `FetchFailed` and `BadAddress`."""
    return await _post(url, _initialize(), {})


def is_welcome(answer: Answer) -> bool:
    """Whether the answer to `knock` is that of an MCP server that wants no token."""
    return answer.is_success and _reply(answer, 1) is not None


async def list_tools(*, url: str, token: str) -> list[Tool]:
    """The tools of an MCP server, up to MOST_TOOLS; `token` may be empty.

    Raises `NoMcpServer`, `TokenRefused`, and `FetchFailed` when the server fails.
    """
    session = await _begin(url, token)
    tools: list[Tool] = []
    cursor: str | None = None
    for number in range(2, MOST_PAGES + 2):
        result = await _call(session, number, "tools/list", {"cursor": cursor} if cursor else {})
        listed = result.get("tools")
        tools += [_tool(each) for each in listed if _is_tool(each)] if isinstance(listed, list) else []
        cursor = result.get("nextCursor")
        if not isinstance(cursor, str) or not cursor or len(tools) >= MOST_TOOLS:
            break
    return tools[:MOST_TOOLS]


async def _begin(url: str, token: str) -> Session:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    answer = await _post(url, _initialize(), headers)
    result = _result(answer, 1)
    version = result.get("protocolVersion")
    if not isinstance(version, str):
        raise NoMcpServer
    headers["MCP-Protocol-Version"] = version if version.isascii() and version.isprintable() else PROTOCOL
    if "mcp-session-id" in answer.headers:
        headers["Mcp-Session-Id"] = answer.headers["mcp-session-id"]
    await _post(url, {"jsonrpc": "2.0", "method": "notifications/initialized"}, headers)
    return Session(url, headers)


async def _call(session: Session, number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return _result(await _post(session.url, body, session.headers), number)


def _initialize() -> dict[str, Any]:
    params = {"protocolVersion": PROTOCOL, "capabilities": {}, "clientInfo": {"name": "throughline", "version": "1"}}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


async def _post(url: str, body: dict[str, Any], headers: dict[str, str]) -> Answer:
    accepted = {"Accept": "application/json, text/event-stream"} | headers
    # A server may answer in an event stream that it leaves open: it is read as far as the reply.
    replies = Replies(body.get("id"))
    return await fetch(Question(url, json=body, headers=accepted, enough=replies.feed))


def _result(answer: Answer, number: int) -> dict[str, Any]:
    """The result in a reply; {} when it is an error, such as of a server that has no tools."""
    if answer.status in {401, 403}:
        raise TokenRefused("The server does not accept the token that its authorization server gave.")
    if answer.status >= 500:
        raise BadAnswer(f"The server answered {answer.status}. Try again later.")
    reply = _reply(answer, number)
    if reply is None or not answer.is_success:
        raise NoMcpServer
    result = reply.get("result")
    return result if isinstance(result, dict) else {}


def _reply(answer: Answer, number: int) -> dict[str, Any] | None:
    if answer.media_type == "text/event-stream":
        replies = Replies(number)
        replies.feed(answer.body + b"\n\n")
        return replies.found
    return _as_reply(answer.body, number)


def _as_reply(text: bytes, number: object) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_reply = isinstance(value, dict) and value.get("jsonrpc") == "2.0" and value.get("id") == number
    return value if is_reply else None


class Replies:
    """Finds the reply to one request in an event stream that comes in pieces."""

    def __init__(self, number: object) -> None:
        self.found: dict[str, Any] | None = None
        self._number = number
        self._line = bytearray()
        self._data: list[bytes] = []

    def feed(self, piece: bytes) -> bool:
        """Whether the reply has come, with this piece or earlier."""
        *lines, rest = piece.split(b"\n")
        for line in lines:
            self._take(bytes(self._line + line).rstrip(b"\r"))
            self._line.clear()
        self._line += rest
        return self.found is not None

    def _take(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line.removeprefix(b"data:").removeprefix(b" "))
        elif not line and self._data:
            self.found = self.found or _as_reply(b"\n".join(self._data), self._number)
            self._data.clear()


def _is_tool(value: object) -> bool:
    return isinstance(value, dict) and isinstance(value.get("name"), str) and bool(value["name"])


def _tool(value: dict[str, Any]) -> Tool:
    description = value.get("description")
    return {
        "name": value["name"][:LONGEST_NAME],
        "description": description[:LONGEST_DESCRIPTION] if isinstance(description, str) else "",
    }
