"""The tool `http_request`: calls an API on one of the hosts that the operator allows. Off until there are any."""

import time
from typing import Any
from urllib.parse import urljoin

from events.addresses import BadAddress, port_of, same_origin, split_url
from events.event import storable
from plugins.conf import conf
from plugins.fetching import MOST_REDIRECTS, Answer, FetchFailed, Question, fetch
from plugins.tools.registry import Arguments, Context, Tool, ToolError

SAFE = ("GET", "HEAD")
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
REDIRECTS = {301, 302, 303, 307, 308}
TOLD_CHARS = 20_000
"""How much of a body the model is told, in characters."""
OURS = {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "upgrade", "te", "trailer"}
"""Headers that say how a request is sent, and to whom: the address that was checked must be the one that is served."""
TOLD_HEADERS = ("content-type", "location", "retry-after", "link", "etag", "last-modified", "www-authenticate")


async def _run(arguments: Arguments, context: Context) -> dict[str, Any]:
    question = _question(arguments)
    for _ in range(MOST_REDIRECTS + 1):
        answer = await _ask(question, context)
        target = _target(question, answer)
        if target is None:
            return _told(answer)
        is_same = same_origin(split_url(question.url), split_url(target))
        # What was meant for one server is not given to another.
        question = Question(url=target, verb=question.verb, headers=question.headers if is_same else {}, redirects=False)
    raise ToolError(f"This leads elsewhere more than {MOST_REDIRECTS} times.")


def _question(arguments: Arguments) -> Question:
    headers = arguments.get("headers", {})
    for name, value in headers.items():
        if not name.isascii() or not name.replace("-", "").isalnum() or not value.isascii() or not value.isprintable():
            raise ToolError(f"{name[:100]!r} is no header that can be sent: names have letters, digits and -, values are ASCII.")
        if name.lower() in OURS:
            raise ToolError(f"The header {name} is set by the server. Leave it out.")
    body = arguments.get("body")
    return Question(
        url=_allowed(arguments["url"]),
        verb=arguments.get("method", "GET"),
        content=None if body is None else storable(body).encode(),
        headers={"Accept": "*/*"} | headers,
        redirects=False,
    )


def _allowed(url: str) -> str:
    try:
        parts = split_url(url)
    except BadAddress as error:
        raise ToolError(str(error)) from None
    host, port = (parts.hostname or "").lower().rstrip("."), port_of(parts)
    usual = 443 if parts.scheme == "https" else 80
    for each in conf.PLUGINS_HTTP_HOSTS:
        name, _, wanted_port = each.strip().lower().partition(":")
        fits = host.endswith(name[1:]) and host != name[2:] if name.startswith("*.") else host == name
        if fits and port == (int(wanted_port) if wanted_port.isdigit() else usual):
            return url
    raise ToolError(f"The host {parts.netloc} may not be called from here. Allowed: {', '.join(conf.PLUGINS_HTTP_HOSTS)}.")


async def _ask(question: Question, context: Context) -> Answer:
    began = time.monotonic()
    status: int | None = None
    problem = ""
    try:
        answer = await fetch(question)
        status = answer.status
    except (FetchFailed, BadAddress) as error:
        problem = str(error)
        raise ToolError(problem) from None
    finally:
        took = round((time.monotonic() - began) * 1000, 1)
        more = {"request_headers": question.headers} | ({"error": problem} if problem else {})
        context.recorder.api_call(question.method, question.url, status=status, duration_ms=took, **more)
    return answer


def _target(question: Question, answer: Answer) -> str | None:
    """Where an answer leads to; None: it is the last one. Only what is safe is asked again, and only where that is allowed."""
    location = answer.headers.get("location", "")
    if answer.status not in REDIRECTS or not location or question.method not in SAFE:
        return None
    return _allowed(urljoin(question.url, location))


def _told(answer: Answer) -> dict[str, Any]:
    text = answer.body.decode("utf-8", "replace")
    told = {
        "status": answer.status,
        "url": answer.url,
        "headers": {name: answer.headers[name] for name in TOLD_HEADERS if name in answer.headers},
        "body": storable(text[:TOLD_CHARS]),
    }
    return told if len(text) <= TOLD_CHARS else told | {"truncated": True, "characters": len(text)}


def _is_safe(arguments: Arguments) -> bool:
    return arguments.get("method", "GET") in SAFE


def http_request() -> Tool | None:
    """The tool, where PLUGINS_HTTP_HOSTS names hosts."""
    if not conf.PLUGINS_HTTP_HOSTS:
        return None
    return Tool(
        name="http_request",
        description=f"Calls an API over HTTP. Hosts that may be called: {', '.join(conf.PLUGINS_HTTP_HOSTS)}.",
        parameters={
            "type": "object",
            "properties": {
                "url": {"type": "string", "maxLength": 2000, "description": "The absolute address, with its query."},
                "method": {"type": "string", "enum": [*SAFE, *UNSAFE], "description": "GET if not given."},
                "headers": {
                    "type": "object",
                    "maxProperties": 20,
                    "additionalProperties": {"type": "string", "maxLength": 2000},
                    "description": "Headers to send.",
                },
                "body": {"type": "string", "maxLength": 100_000, "description": "What to send, as text; JSON must be text, too."},
            },
            "required": ["url"],
            "additionalProperties": False,
        },
        run=_run,
        needs_approval=conf.PLUGINS_HTTP_UNSAFE_NEEDS_APPROVAL,
        idempotent=False,
        harmless=_is_safe,
    )
