"""Where the documents are read: `/api/schema` (OpenAPI) and `/api/schema/events` (AsyncAPI)."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.openapi import query
from realtime_project.schema import asyncapi, openapi


class YamlRenderer(BaseRenderer):
    """YAML, for who asks for it."""

    media_type = "application/yaml"
    format = "yaml"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> str:  # noqa: ARG002
        """What is not written yet: an error."""
        return openapi.as_yaml(data)


class DocumentView(APIView):
    """A document, for everyone: what it describes asks for credentials by itself."""

    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (JSONRenderer, YamlRenderer)
    served: ClassVar[Callable[[str], str]]

    def get(self, request: Request) -> HttpResponse:
        """JSON, or YAML with `?format=yaml` or `Accept: application/yaml`."""
        renderer = request.accepted_renderer
        return HttpResponse(type(self).served(renderer.format), content_type=renderer.media_type)


_SHAPES = {(200, "application/json"): dict, (200, "application/yaml"): dict, 404: "There is no such format.", 406: ""}
_FORMAT = query("format", str, "Instead of the header Accept.", enum=["json", "yaml"])


class OpenApiView(DocumentView):
    """`GET /api/schema`."""

    served = openapi.served

    @extend_schema(summary="Get the OpenAPI document", parameters=[_FORMAT], responses=_SHAPES)
    def get(self, request: Request) -> HttpResponse:
        """Every HTTP address."""
        return super().get(request)


class AsyncApiView(DocumentView):
    """`GET /api/schema/events`."""

    served = asyncapi.served

    @extend_schema(summary="Get the AsyncAPI document", parameters=[_FORMAT], responses=_SHAPES)
    def get(self, request: Request) -> HttpResponse:
        """Every socket, event stream and type of event."""
        return super().get(request)
