"""Reading the bodies of uploads: bounded before anything is kept in memory."""

import json
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser, MultiPartParser

from events.exceptions import TooLarge
from knowledge.conf import conf
from knowledge.services.files import size_text

MULTIPART_EXTRA = 1 << 20
"""What a multipart body may have besides the file."""


class TextParser(BaseParser):
    """A JSON object of at most KNOWLEDGE_TEXT_MAX_BYTES."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:  # noqa: ARG002 - DRF's signature
        """The object. Raises `TooLarge` and ParseError."""
        body = stream.read(conf.KNOWLEDGE_TEXT_MAX_BYTES + 1)
        if len(body) > conf.KNOWLEDGE_TEXT_MAX_BYTES:
            raise TooLarge(
                f"The body has more than {size_text(conf.KNOWLEDGE_TEXT_MAX_BYTES)}. Send a long text as a file (multipart)."
            )
        try:
            parsed = json.loads(body)
        except (ValueError, RecursionError):
            raise ParseError("The body is not JSON in UTF-8.") from None
        if not isinstance(parsed, dict):
            raise ParseError("The body must be a JSON object.")
        return parsed


class UploadParser(MultiPartParser):
    """A form with a file, which Django writes to disk as it reads."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        """As DRF's. Raises `TooLarge` by the announced length, before reading."""
        try:
            length = int(stream.META.get("CONTENT_LENGTH") or 0)
        except ValueError:
            raise ParseError("Content-Length must be a number.") from None
        if length > conf.KNOWLEDGE_MAX_BYTES + MULTIPART_EXTRA:
            raise TooLarge(f"The file has more than {size_text(conf.KNOWLEDGE_MAX_BYTES)}, the most that is taken. Split it.")
        return super().parse(stream, media_type, parser_context)
