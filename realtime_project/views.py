"""Addresses that combine apps: who am I, and how is the server."""

import asyncio

from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.utils import OpenApiResponse, extend_schema
from prometheus_client import CONTENT_TYPE_LATEST
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.openapi import shape
from accounts.services import describe
from events.connection_views import staff
from events.responses import stream_endpoint
from realtime_project import operations
from realtime_project.exposition import admit, exposition
from realtime_project.readiness import OK, check_parts
from realtime_project.schema.operations import ANONYMOUS
from realtime_project.serializers import MeSerializer, OverviewSerializer, PartsSerializer
from workspaces.services import workspaces_of

FRESH = {"Cache-Control": "no-store"}
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


class MeView(APIView):
    """`GET /api/v1/auth/me`."""

    @extend_schema(summary="Who am I", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The caller, with organisations and workspaces."""
        caller = caller_of(request)
        return Response(describe(caller) | {"workspaces": workspaces_of(caller.pk)})


# What asks for the state of the server is served as streams are: without middleware and threads, which a database
# that hangs may hold.


@extend_schema(summary="Is the process alive", auth=ANONYMOUS, responses=shape("Alive", status=serializers.CharField()))
@stream_endpoint("GET", "HEAD")
async def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers."""
    del request
    return JsonResponse({"status": "ok"}, headers=FRESH)


@extend_schema(
    summary="Is the server ready",
    auth=ANONYMOUS,
    responses={200: PartsSerializer, 503: OpenApiResponse(PartsSerializer, description="Which part is away, and what to do.")},
)
@stream_endpoint("GET", "HEAD")
async def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker and a worker answer, else 503 saying which does not, and what to do."""
    del request
    parts = await check_parts()
    if all(state == OK for state in parts.values()):
        return JsonResponse({"status": "ok", **parts}, headers=FRESH)
    return JsonResponse({"status": "unavailable", **parts}, status=503, headers=FRESH | {"Retry-After": "2"})


@extend_schema(
    summary="Get metrics",
    description="For this machine, or with the METRICS_TOKEN as bearer.",
    auth=ANONYMOUS,
    responses={(200, "text/plain"): str, 401: "", 403: ""},
)
@stream_endpoint("GET", "HEAD")
async def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, for this machine or for who has the METRICS_TOKEN."""
    admit(
        authorization=request.headers.get("Authorization", ""),
        address=request.META.get("REMOTE_ADDR", ""),
        forwarded=any(name in request.headers for name in FORWARDED),
    )
    # Not `in_thread`: a database that hangs holds those threads, and this needs none of it.
    body = await asyncio.to_thread(exposition)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST, headers=FRESH)


@extend_schema(summary="How is the server", responses=OverviewSerializer)
@stream_endpoint("GET", error_shape="detail")
async def overview(request: HttpRequest) -> JsonResponse:
    """`GET /api/v1/ops`: what the page `/ops` shows. For staff."""
    await staff(request)
    return JsonResponse(await operations.overview(), headers=FRESH)
