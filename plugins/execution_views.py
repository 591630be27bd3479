"""Plugins and executions over REST, for plugins in any language and for the page; and the page."""

import sys
from io import BytesIO
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.bodies import SmallJSONParser
from accounts.openapi import (
    CURSOR,
    IDEMPOTENCY_KEY,
    page_of,
    query,
    shape,
)
from events.exceptions import InvalidRequest, TooLarge
from events.paging import parse_id
from plugins import catalogue, executions
from plugins.conf import conf
from plugins.debug_frames import frames
from plugins.execution_serializers import (
    BatchSerializer,
    ExecutionSerializer,
    NewExecutionSerializer,
    NewPluginSerializer,
    PluginSerializer,
)
from plugins.models import Execution

TAKEN = shape("TakenEvents", first=serializers.IntegerField(), last=serializers.IntegerField())


@login_required
@ensure_csrf_cookie
def plugins_page(request: HttpRequest) -> HttpResponse:
    """`/plugins`: executions, and what each does, live and afterwards."""
    return render(request, "pages/plugins.html")


class BatchParser(SmallJSONParser):
    """Parses a JSON object of at most PLUGINS_BODY_MAX_BYTES."""

    largest = sys.maxsize - 1  # this class says what is too large, as 413

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> dict[str, Any]:
        """The object. Raises ParseError and `TooLarge`."""
        most = conf.PLUGINS_BODY_MAX_BYTES
        body = stream.read(most + 1)
        if len(body) > most:
            raise TooLarge(f"The body is larger than {most} bytes. Send fewer events at once.")
        return super().parse(BytesIO(body), media_type, parser_context)


class PluginsView(APIView):
    """`GET`, `POST /api/v1/plugins`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="List plugins", parameters=[CURSOR], responses=page_of(PluginSerializer))
    def get(self, request: Request) -> Response:
        """One page of those of the caller's organisations, newest first."""
        found, following = catalogue.list_plugins(caller=caller_of(request), cursor=request.query_params.get("cursor", ""))
        return Response({"results": [PluginSerializer(each).data for each in found], "next": following})

    @extend_schema(
        summary="Add a plugin",
        request=NewPluginSerializer,
        responses={201: PluginSerializer, 404: "", 409: "The organisation has one of that name."},
        examples=[OpenApiExample("a plugin", value={"name": "weather", "tools": [{"name": "forecast"}]}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Adds one."""
        serializer = NewPluginSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        new = serializer.validated_data
        made = catalogue.add(
            caller=caller_of(request), name=new["name"], organization_id=new["organization"], tools=list(map(dict, new["tools"]))
        )
        return Response(PluginSerializer(made).data, status=201)


class PluginExecutionsView(APIView):
    """`GET`, `POST /api/v1/plugins/<id>/executions`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="List executions of a plugin", parameters=[CURSOR], responses=page_of(ExecutionSerializer))
    def get(self, request: Request, plugin_id: str) -> Response:
        """One page of a plugin's executions, newest first."""
        caller = caller_of(request)
        plugin = catalogue.get(caller=caller, plugin_id=parse_id(plugin_id))
        return _page(*executions.list_executions(caller=caller, plugin_id=plugin.pk, cursor=_cursor(request)))

    @extend_schema(
        summary="Begin an execution",
        request=NewExecutionSerializer,
        responses={201: ExecutionSerializer, 409: "", 413: ""},
        examples=[OpenApiExample("an execution", value={"tool_name": "forecast", "input": {"city": "Oslo"}}, request_only=True)],
    )
    def post(self, request: Request, plugin_id: str) -> Response:
        """Begins one; its id is what the plugin reports to, and what opens its debug socket."""
        serializer = NewExecutionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        caller, new = caller_of(request), serializer.validated_data
        plugin = catalogue.get(caller=caller, plugin_id=parse_id(plugin_id))
        made = executions.create(caller=caller, plugin=plugin, tool_name=new["tool_name"], given=new["input"])
        return Response(_told(executions.get(caller=caller, execution_id=made.pk)), status=201)


class ExecutionsView(APIView):
    """`GET /api/v1/plugins/executions`."""

    @extend_schema(summary="List executions", parameters=[CURSOR], responses=page_of(ExecutionSerializer))
    def get(self, request: Request) -> Response:
        """One page of all that the caller may see, newest first."""
        return _page(*executions.list_executions(caller=caller_of(request), cursor=_cursor(request)))


class ExecutionView(APIView):
    """`GET /api/v1/plugins/executions/<id>`."""

    @extend_schema(summary="Get an execution", responses=ExecutionSerializer)
    def get(self, request: Request, execution_id: str) -> Response:
        """One."""
        return Response(_told(executions.get(caller=caller_of(request), execution_id=parse_id(execution_id))))


class ExecutionEventsView(APIView):
    """`GET`, `POST /api/v1/plugins/executions/<id>/events`."""

    parser_classes = (BatchParser,)

    @extend_schema(
        summary="Read what an execution did",
        parameters=[query("since", int, "The `seq` of the last event that came.", default=0)],
        responses=shape(
            "ExecutionEvents", events=serializers.ListField(child=serializers.DictField()), cursor=serializers.IntegerField()
        ),
    )
    def get(self, request: Request, execution_id: str) -> Response:
        """Up to PLUGINS_BATCH_MAX events after `?since=`, as the frames of the debug socket, and where to go on."""
        since = _number(request, "since")
        found = executions.history(
            caller=caller_of(request), execution_id=parse_id(execution_id), after=since, limit=conf.PLUGINS_BATCH_MAX
        )
        told = [frame for event in found for frame in frames(event)]
        return Response({"events": told, "cursor": found[-1].id.major if found else since})

    @extend_schema(
        summary="Report what an execution does",
        parameters=[IDEMPOTENCY_KEY],
        request=BatchSerializer,
        responses={
            201: TAKEN,
            200: OpenApiResponse(TAKEN, description="The same key brought them before."),
            409: "It has ended or expired, or the key brought other events.",
        },
        examples=[OpenApiExample("a line", value={"events": [{"type": "log", "data": {"message": "begun"}}]}, request_only=True)],
    )
    def post(self, request: Request, execution_id: str) -> Response:
        """Takes up to PLUGINS_BATCH_MAX events in one piece: 201, or 200 when the same key brought them before."""
        serializer = BatchSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        taken = executions.report(
            caller=caller_of(request),
            execution_id=parse_id(execution_id),
            reports=serializer.to_reports(),
            key=request.headers.get("Idempotency-Key", ""),
        )
        return Response({"first": taken.first, "last": taken.last}, status=200 if taken.repeated else 201)


def _cursor(request: Request) -> str:
    return request.query_params.get("cursor", "")


def _page(found: list[Execution], following: str | None) -> Response:
    return Response({"results": [_told(each) for each in found], "next": following})


def _told(execution: Execution) -> dict[str, Any]:
    return dict(ExecutionSerializer(execution).data)


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InvalidRequest(f"{name} must be a whole number: the `seq` of the last event that you have.")
    return int(text)
