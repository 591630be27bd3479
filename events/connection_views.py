"""Addresses about open connections, for staff. Served as streams are: they answer though the database hangs."""

from django.http import HttpRequest, JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers

from accounts.authentication import authenticate
from accounts.caller import Caller
from accounts.openapi import (
    CURSOR,
    page_of,
    query,
    shape,
)
from events import registry
from events.exceptions import Forbidden
from events.hub import current_hub
from events.publishing import publish_many
from events.responses import stream_endpoint
from events.serializers import OpenConnectionSerializer, SocketStatsSerializer

FRESH = {"Cache-Control": "no-store"}


async def staff(request: HttpRequest) -> Caller:
    """The caller, who is staff. Raises `Forbidden`, and as `authenticate`."""
    caller = await authenticate(request.scope)  # type: ignore[attr-defined]
    if not caller.is_staff:
        raise Forbidden("This is for staff.")
    return caller


@extend_schema(summary="Count sockets", responses=SocketStatsSerializer)
@stream_endpoint("GET", error_shape="detail")
async def stats(request: HttpRequest) -> JsonResponse:
    """`GET /ws/stats`: open sockets of all processes."""
    await staff(request)
    return JsonResponse(await registry.stats(current_hub().broker), headers=FRESH)


@extend_schema(
    summary="List open connections",
    parameters=[query("user", str, "Of one user only."), CURSOR],
    responses=page_of(OpenConnectionSerializer),
)
@stream_endpoint("GET", error_shape="detail")
async def connections(request: HttpRequest) -> JsonResponse:
    """`GET /api/v1/ops/connections?user=&cursor=`: open sockets and streams, the newest first, in pages."""
    await staff(request)
    found, after = await registry.page(
        current_hub().broker, user_id=request.GET.get("user", ""), cursor=request.GET.get("cursor", "")
    )
    return JsonResponse({"results": found, "next": after}, headers=FRESH)


@extend_schema(summary="End a connection", responses={202: shape("EndedConnection", id=serializers.CharField())})
@stream_endpoint("DELETE", error_shape="detail")
async def connection(request: HttpRequest, connection_id: str) -> JsonResponse:
    """`DELETE /api/v1/ops/connections/<id>`: ends one connection, in whatever process it is."""
    caller = await staff(request)
    await registry.require(current_hub().broker, connection_id)
    await publish_many([registry.end_command(connection_id=connection_id, by=caller.user_id)])
    return JsonResponse({"id": connection_id}, status=202, headers=FRESH)


@extend_schema(
    summary="Disconnect a user", request=None, responses={202: shape("DisconnectedUser", user_id=serializers.CharField())}
)
@stream_endpoint("POST", body_limit=1024, error_shape="detail")
async def disconnect_user(request: HttpRequest, user_id: str) -> JsonResponse:
    """`POST /api/v1/users/<public_id>/disconnect`: ends all connections of a user."""
    caller = await staff(request)
    await publish_many([registry.end_command(user_id=user_id, by=caller.user_id)])
    return JsonResponse({"user_id": user_id}, status=202, headers=FRESH)
