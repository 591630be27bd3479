"""Errors in the OpenAPI document: four bodies, each one component, and which of them a status of an address has."""

import inspect
from itertools import product
from typing import Any

from events.exceptions import BY_STATUS

_TEXT = {"type": "string"}

COMPONENTS: dict[str, dict[str, Any]] = {
    "Error": {
        "type": "object",
        "description": "What was wrong and what to do, and a code for programs: docs/reference/errors.md.",
        "properties": {"detail": _TEXT, "code": _TEXT},
        "required": ["detail", "code"],
    },
    "StreamError": {
        "type": "object",
        "description": "The same, as the streams under /api and /stream tell it.",
        "properties": {"success": {"type": "boolean", "const": False}, "message": _TEXT, "code": _TEXT},
        "required": ["success", "message", "code"],
    },
    "FieldErrors": {
        "type": "object",
        "description": "What is wrong with each field of the body; `non_field_errors`: with several together.",
        "additionalProperties": {"type": ["array", "object"]},
    },
    "Unprocessable": {
        "type": "object",
        "description": "What is wrong with each field, as FastAPI tells it.",
        "properties": {
            "detail": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "loc": {"type": "array", "items": {"type": ["string", "integer"]}},
                        "msg": _TEXT,
                        "type": _TEXT,
                        "input": {},
                        "ctx": {"type": "object"},
                    },
                    "required": ["loc", "msg", "type"],
                },
            }
        },
        "required": ["detail"],
    },
}
"""Schemas of the bodies of errors, by the names of their components."""

MEANINGS = {
    406: "No representation that the header Accept names. Ask for application/json.",
    415: "The Content-Type of the body is not one that is understood here.",
    501: "Another service issues the tokens.",
    500: "The answer failed, and asking again does not help.",
    504: "The answer took longer than RUN_MAX_SECONDS.",
}
"""What statuses mean that have no class in `events.exceptions`."""

WAIT = {429, 503}
"""Statuses that say in `Retry-After` when to come back."""


def problem(status: int, *, said: str, error_shape: str, has_fields: bool) -> dict[str, Any]:
    """The response object of an error; `said`: when this address answers so, `has_fields`: a serializer may refuse the body."""
    if not said:
        return {"$ref": f"#/components/responses/{_name(status, error_shape, has_fields)}"}
    return _response(status, said=said, error_shape=error_shape, has_fields=has_fields)


def responses() -> dict[str, dict[str, Any]]:
    """The responses that addresses refer to where there is nothing special to say, by the names of their components."""
    combinations = product([*BY_STATUS, *MEANINGS], ("detail", "success"), (False, True))
    return {
        _name(status, shape, fields): _response(status, said=_meaning(status), error_shape=shape, has_fields=fields)
        for status, shape, fields in combinations
    }


def _name(status: int, error_shape: str, has_fields: bool) -> str:
    if status == 422:
        return "Unprocessable"
    name = BY_STATUS[status].__name__ if status in BY_STATUS else f"Status{status}"
    if error_shape == "success":
        return f"Stream{name}"
    return "InvalidFields" if status == 400 and has_fields else name


def _response(status: int, *, said: str, error_shape: str, has_fields: bool) -> dict[str, Any]:
    names = ["Error" if error_shape == "detail" else "StreamError"]
    if status == 422:
        names = ["Unprocessable"]
    elif status == 400 and has_fields and error_shape == "detail":
        names.append("FieldErrors")
    references = [{"$ref": f"#/components/schemas/{name}"} for name in names]
    headers = {}
    if status in WAIT:
        headers["Retry-After"] = {"schema": {"type": "integer"}, "description": "Seconds to wait."}
    if status == 401:
        headers["WWW-Authenticate"] = {"schema": _TEXT}
    body = references[0] if len(references) == 1 else {"anyOf": references}
    described: dict[str, Any] = {"description": said, "content": {"application/json": {"schema": body}}}
    return described | ({"headers": headers} if headers else {})


def _meaning(status: int) -> str:
    if status in MEANINGS:
        return MEANINGS[status]
    return " ".join((inspect.getdoc(BY_STATUS[status]) or "").split())
