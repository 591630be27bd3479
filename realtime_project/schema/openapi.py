"""The OpenAPI 3.1 document of every HTTP address."""

import functools
from typing import Any

from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiYamlRenderer

from realtime_project.schema.endpoints import Generator
from realtime_project.schema.operations import TAGS
from realtime_project.schema.problems import COMPONENTS, responses

VERSION = "1"
"""Of the interface, as in `/api/v1`; what is added does not change it."""

SECURITY_SCHEMES: dict[str, dict[str, Any]] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token (JWT), or an API key (`sk_...`), in `Authorization: Bearer`.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "sessionid",
        "description": "The cookie of a logged-in page. Unsafe methods also want the header `X-CSRFToken`.",
    },
    "ticket": {
        "type": "apiKey",
        "in": "query",
        "name": "ticket",
        "description": "For streams of browsers: good once, for one path, for TICKET_SECONDS; made by POST /api/v1/auth/tickets.",
    },
    "token": {
        "type": "apiKey",
        "in": "query",
        "name": "token",
        "description": "An access token, for clients that can send no header. Addresses end up in logs; ours leave it out.",
    },
    "api_key": {"type": "apiKey", "in": "query", "name": "api_key", "description": "The same with an API key."},
}
"""Everything that may say who asks; the first that is present counts, in this order."""

DESCRIPTION = """A self-hosted realtime server for AI applications: a reader that comes back with its cursor misses nothing, \
repeats nothing, and is told when that cannot be kept.

Event streams are `text/event-stream`; their frames, and those of the sockets, are in the AsyncAPI document beside this one \
(`/api/schema/events`)."""


def document() -> dict[str, Any]:
    """The document, as JSON-like data. Takes about a second."""
    described: dict[str, Any] = Generator().get_schema(public=True)
    described["info"] |= {"title": "Throughline", "version": VERSION, "description": DESCRIPTION}
    described["security"] = [{name: []} for name in SECURITY_SCHEMES]
    described["tags"] = [{"name": name} for name in dict.fromkeys(name for _, name in TAGS)]
    components = described.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    components["responses"] = _used(responses(), described["paths"])
    components["schemas"] = dict(sorted((components.get("schemas", {}) | COMPONENTS).items()))
    return described


def _used(named: dict[str, Any], paths: dict[str, Any]) -> dict[str, Any]:
    """Those that some address refers to."""
    answers = [answer for path in paths.values() for operation in path.values() for answer in operation["responses"].values()]
    used = {answer["$ref"].rpartition("/")[2] for answer in answers if "$ref" in answer}
    return {name: response for name, response in sorted(named.items()) if name in used}


def as_yaml(described: dict[str, Any]) -> str:
    """A document as a person reads it."""
    return bytes(OpenApiYamlRenderer().render(described)).decode()


def as_json(described: dict[str, Any]) -> str:
    """A document as programs read it."""
    return bytes(OpenApiJsonRenderer().render(described)).decode()


@functools.cache
def served(form: str) -> str:
    """The document as `yaml` or `json`, written once in each process."""
    return as_yaml(document()) if form == "yaml" else as_json(document())
