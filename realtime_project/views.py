"""Addresses that combine apps: who am I, and how is the server."""

from typing import Any

from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest, multiprocess
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.services import describe
from chat.models import Worker
from chat.sweep import silence_seconds
from events.exceptions import BrokerUnavailable
from events.publishing import ping_broker
from workspaces.services import workspaces_of


class MeView(APIView):
    """`GET /api/v1/auth/me`."""

    def get(self, request: Request) -> Response:
        """The caller, with organisations and workspaces."""
        return Response(describe(request.user) | {"workspaces": workspaces_of(request.user.pk)})


def healthz(request: HttpRequest) -> JsonResponse:
    """200 as long as this process answers."""
    del request
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> JsonResponse:
    """200 when database, broker and a worker answer, else 503 saying which does not."""
    del request
    parts = {"database": _database(), "broker": _broker(), "worker": _worker()}
    ready = all(state == "ok" for state in parts.values())
    headers = {} if ready else {"Retry-After": "2"}
    return JsonResponse({"status": "ok" if ready else "unavailable", **parts}, status=200 if ready else 503, headers=headers)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return "ok"
    except (DatabaseError, OSError):
        return "The database cannot be reached; see DATABASE_URL."


def _broker() -> str:
    try:
        ping_broker()
        return "ok"
    except BrokerUnavailable:
        return "The broker cannot be reached; see REDIS_URL."


def _worker() -> str:
    try:
        oldest = timezone.now() - timezone.timedelta(seconds=silence_seconds())
        living = Worker.objects.filter(beat_at__gte=oldest).exists()
        return "ok" if living else "No worker is running; start `manage.py procrastinate worker`."
    except (DatabaseError, OSError):
        return "Unknown: the database cannot be reached."


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics: of all processes of this server when PROMETHEUS_MULTIPROC_DIR is set, else of this one."""
    del request
    registry: Any = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
