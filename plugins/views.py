"""Connections over REST, and the page that authorization servers send browsers back to."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.openapi import (
    CURSOR,
    nothing,
    page_of,
)
from events.exceptions import NotFound
from events.paging import parse_id
from plugins import services
from plugins.conf import conf
from plugins.models import Connection
from plugins.serializers import ConnectionSerializer, NewConnectionSerializer

CALLBACK_PATH = "/oauth/callback"


class ConnectionsView(APIView):
    """`GET`, `POST /api/v1/connections`."""

    @extend_schema(summary="List connections", parameters=[CURSOR], responses=page_of(ConnectionSerializer))
    def get(self, request: Request) -> Response:
        """One page of the caller's, newest first."""
        found, following = services.list_connections(caller=caller_of(request), cursor=request.query_params.get("cursor", ""))
        return Response({"results": [ConnectionSerializer(each).data for each in found], "next": following})

    @extend_schema(
        summary="Connect to a server",
        request=NewConnectionSerializer,
        responses={202: ConnectionSerializer, 409: "", 429: ""},
        examples=[
            OpenApiExample("a server", value={"name": "Tasks", "server_url": "https://mcp.example.org/mcp"}, request_only=True)
        ],
    )
    def post(self, request: Request) -> Response:
        """202 while a worker finds out where the caller can approve; how it goes comes on his feed."""
        serializer = NewConnectionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        made = services.create(
            caller=caller_of(request), new=serializer.to_new_connection(), redirect_uri=_callback_address(request)
        )
        return Response(ConnectionSerializer(made).data, status=202)


class ConnectionView(APIView):
    """`GET`, `DELETE /api/v1/connections/<id>`."""

    @extend_schema(summary="Get a connection", responses=ConnectionSerializer)
    def get(self, request: Request, connection_id: str) -> Response:
        """One."""
        found = services.get(caller=caller_of(request), connection_id=parse_id(connection_id))
        return Response(ConnectionSerializer(found).data)

    @extend_schema(summary="Delete a connection", responses={204: nothing("It is deleted, with its tokens.")})
    def delete(self, request: Request, connection_id: str) -> Response:
        """Deletes it with its tokens."""
        services.delete(caller=caller_of(request), connection_id=parse_id(connection_id))
        return Response(status=204)


def _callback_address(request: Request) -> str:
    if conf.PLUGINS_PUBLIC_URL:
        return f"{conf.PLUGINS_PUBLIC_URL.rstrip('/')}{CALLBACK_PATH}"
    return request.build_absolute_uri(CALLBACK_PATH)


@require_GET
@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    """`/oauth/callback`: no credentials; the `state` is a secret that is good once."""
    told = request.GET
    approval = services.Approval(
        state=told.get("state", ""),
        code=told.get("code", ""),
        error=told.get("error", ""),
        description=told.get("error_description", ""),
        issuer=told.get("iss", ""),
        user_pk=request.user.pk,
    )
    try:
        connection = services.receive(approval=approval)
    except NotFound as error:
        return render(request, "plugins/callback.html", {"problem": error.message}, status=error.http_status)
    failed = connection.status == Connection.Status.FAILED
    context = {"connection": connection, "problem": connection.error if failed else ""}
    return render(request, "plugins/callback.html", context, status=400 if failed else 200)
