"""JSON bodies against Pydantic models, with errors as FastAPI words them."""

import json
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from chat.engines.text import clean_json
from events.exceptions import Unprocessable

Model = TypeVar("Model", bound=BaseModel)


def checked(model: type[Model], body: bytes) -> Model:
    """The body as the model allows it; raises `Unprocessable`, each error's `loc` beginning with `body`."""
    if not body:
        raise Unprocessable(errors=[{"type": "missing", "loc": ["body"], "msg": "Field required", "input": None}])
    data = _decoded(body)
    try:
        # From attributes, as FastAPI does: it changes what is said of something that is no object.
        return model.model_validate(data, from_attributes=True)
    except ValidationError as error:
        raise Unprocessable(errors=[_as_fastapi(each) for each in error.errors(include_url=False)]) from None


def _decoded(body: bytes) -> Any:
    try:
        return json.loads(body)
    except json.JSONDecodeError as error:
        position, reason = error.pos, error.msg
    except RecursionError:
        position, reason = 0, "The body is nested too deeply"
    except ValueError as error:
        position, reason = 0, str(error)  # neither UTF-8 nor UTF-16, or a number of thousands of digits
    ctx = {"error": reason}
    raise Unprocessable(
        errors=[{"type": "json_invalid", "loc": ["body", position], "msg": "JSON decode error", "input": {}, "ctx": ctx}]
    )


def _as_fastapi(error: Any) -> dict[str, Any]:
    """The error with `body` before its place; its `input` as JSON can have it."""
    told: dict[str, Any] = error | {"loc": ["body", *error["loc"]]}
    try:
        return clean_json(told)  # type: ignore[no-any-return]
    except RecursionError:
        return clean_json(told | {"input": None})  # type: ignore[no-any-return]
