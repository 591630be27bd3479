"""Reading JSON bodies: whatever is wrong with one is a 400 that says so."""

import json
from io import BytesIO
from typing import Any, ClassVar, TypeVar

from rest_framework import serializers
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, JSONParser
from rest_framework.request import Request

LARGEST_BODY = 64 * 1024
"""In bytes; nothing that accounts accepts comes near."""

LARGEST_ANY_BODY = 8 * 1024 * 1024
"""In bytes; a full list of the largest events has room in it."""

S = TypeVar("S", bound=serializers.Serializer[Any])


class SmallJSONParser(BaseParser):
    """Parses a JSON object of at most 64 KiB, or `largest` bytes. DRF's own parser reads bodies of any size and depth."""

    media_type = "application/json"
    largest: ClassVar[int] = LARGEST_BODY

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:  # noqa: ARG002 - DRF's signature
        """The object. Raises ParseError."""
        body = stream.read(self.largest + 1)
        if len(body) > self.largest:
            raise ParseError(f"The body is larger than {self.largest // 1024} KiB.")
        try:
            parsed = json.loads(body.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise ParseError("The body is not UTF-8.") from error
        except (ValueError, RecursionError) as error:
            raise ParseError("The body is not JSON.") from error
        if not isinstance(parsed, dict):
            raise ParseError("The body must be a JSON object.")
        return parsed


class BoundedJSONParser(JSONParser):
    """DRF's own, for views that name no other: it alone keeps bodies of any size, and fails at what is nested deeply."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """The value. Raises ParseError."""
        body = stream.read(LARGEST_ANY_BODY + 1)
        if len(body) > LARGEST_ANY_BODY:
            raise ParseError(f"The body is larger than {LARGEST_ANY_BODY // 1024 // 1024} MiB.")
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError as error:
            raise ParseError("The body is nested too deeply.") from error


class TextField(serializers.CharField):
    """A string and nothing that could be read as one; NUL and lone surrogates are refused by DRF."""

    def to_internal_value(self, data: Any) -> str:
        """The string; raises DRF's ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return str(super().to_internal_value(data))


def checked_body(serializer_class: type[S], request: Request) -> dict[str, Any]:
    """The body of `request` as `serializer_class` allows it. Raises ParseError naming the first field that is wrong."""
    serializer = serializer_class(data=request.data)
    if serializer.is_valid():
        return dict(serializer.validated_data)
    field, messages = next(iter(serializer.errors.items()))
    raise ParseError(f"`{field}`: {messages[0]}")
