"""Words that describe addresses: what views give to `extend_schema` for the OpenAPI document, beside their serializers.

A response is given by its status: a serializer, or one of `event_stream` and `nothing`; an error by its status with a
sentence that says when, or "" where the sentence of the error itself is enough. What every address may answer
(401, 404 of a path with an id, ...) is added by `realtime_project.schema.operations`.
"""

import functools
from typing import Any

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers

EVENT_STREAM = "text/event-stream"

CURSOR = OpenApiParameter("cursor", str, description="The `next` of the page before; without it the first page.")

IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="With the same key and body this is the same request, and is answered as it was; another body is 409.",
)

LAST_EVENT_ID = OpenApiParameter(
    "Last-Event-ID",
    str,
    OpenApiParameter.HEADER,
    description="The cursor: the `id` of the last event that came. A browser's EventSource sends it by itself.",
)

LAST_EVENT_ID_IN_QUERY = OpenApiParameter(
    "last_event_id", str, description="The same for clients that cannot set headers; the header wins."
)


def query(name: str, kind: Any = str, description: str = "", **options: Any) -> OpenApiParameter:
    """A parameter of the query; `options` as `OpenApiParameter` has them."""
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, **options)


@functools.cache
def page_of(item: type[serializers.BaseSerializer[Any]], *, results: str = "results") -> Any:
    """The shape `{results, next}` of a page of `item`s; `results` may be called otherwise."""
    following = serializers.CharField(allow_null=True, help_text="The `cursor` of the next page; null on the last one.")
    return inline_serializer(f"{_name(item)}Page", {results: item(many=True), "next": following})


@functools.cache
def list_of(item: type[serializers.BaseSerializer[Any]], *, results: str = "results") -> Any:
    """The shape `{results}` of `item`s that come all at once."""
    return inline_serializer(f"{_name(item)}List", {results: item(many=True)})


def _name(item: type) -> str:
    return item.__name__.removesuffix("Serializer").removesuffix("Told")


def shape(name: str, **fields: Any) -> Any:
    """A small object of a response that has no serializer of its own."""
    return inline_serializer(name, fields)


def event_stream(description: str, *, example: str) -> dict[tuple[int, str], OpenApiResponse]:
    """The 200 of an event stream; `example`: its first frames."""
    shown = OpenApiExample("frames", value=example, media_type=EVENT_STREAM)
    return {(200, EVENT_STREAM): OpenApiResponse(str, description=description, examples=[shown])}


def nothing(description: str) -> OpenApiResponse:
    """A response without a body."""
    return OpenApiResponse(None, description=description)
