"""The open connections in the admin: a list, and what ends them."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import async_to_sync
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from accounts.models import User
from events import registry
from events.broker.connect import connect
from events.exceptions import InvalidRequest, Unavailable
from events.publishing import publish

MOST_AT_ONCE = registry.PAGE


def connections_view(request: HttpRequest) -> HttpResponse:
    """`/admin/events/durablestream/connections/`: what is open, newest first; what is posted (ids, or a user) is disconnected."""
    user_id, cursor = request.GET.get("user", "").strip(), request.GET.get("cursor", "")
    if request.method == "POST":
        _disconnect(request)
        return HttpResponseRedirect(f"{reverse('admin:events_connections')}?{urlencode({'user': user_id})}")
    page: dict[str, Any] = {"title": "Open connections", "user_id": user_id, "cursor": cursor}
    status = 200
    try:
        found, after = _page(user_id=user_id, cursor=cursor)
        page |= {"rows": [_row(each) for each in found], "older": urlencode({"user": user_id, "cursor": after}) if after else ""}
    except InvalidRequest as error:
        page["error"], status = error.message, error.http_status
    except Unavailable as error:
        page["error"], status = error.message, error.http_status
    return TemplateResponse(request, "admin/events/connections.html", admin.site.each_context(request) | page, status=status)


@async_to_sync
async def _page(*, user_id: str, cursor: str) -> tuple[list[dict[str, Any]], str | None]:
    broker = connect()
    try:
        return await registry.page(broker, user_id=user_id, cursor=cursor)
    finally:
        await broker.close()


def _row(connection: dict[str, Any]) -> dict[str, Any]:
    return connection | {"opened_at": datetime.fromtimestamp(connection["opened_at"] / 1000, UTC)}


def _disconnect(request: HttpRequest) -> None:
    by = request.user.public_id if isinstance(request.user, User) else ""
    user_id = request.POST.get("end_user", "")
    commands = [registry.end_command(connection_id=each, by=by) for each in request.POST.getlist("id")[:MOST_AT_ONCE]]
    if user_id:
        commands = [registry.end_command(user_id=user_id, by=by)]
    try:
        for each in commands:
            publish(stream=each.stream, type=each.type, data=each.data)
    except Unavailable as error:
        messages.error(request, error.message)
        return
    if user_id:
        messages.success(request, f"Everything that {user_id} has open is being ended.")
    elif commands:
        messages.success(request, f"{len(commands)} connections are being ended.")
    else:
        messages.warning(request, "No connection was chosen.")
