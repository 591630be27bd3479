"""The chat page."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.csrf import ensure_csrf_cookie

from accounts.models import User
from accounts.verification import caller_of_user
from chat.engines.base import EngineError
from chat.engines.registry import engine, selected_alias
from chat.serializers import ApplicationSerializer
from chat.services import conversations
from chat.services.applications import applications_of


@login_required
@ensure_csrf_cookie
def chat(request: HttpRequest) -> HttpResponse:
    """`/`: conversations at the side, the open one in the middle."""
    caller = caller_of_user(cast("User", request.user).pk)
    data = {
        "user": {"id": caller.user_id, "username": caller.username},
        "engine": _engine_alias(),
        "applications": ApplicationSerializer(applications_of(caller), many=True).data,
    }
    return render(request, "chat/page.html", {"page_data": data})


@login_required
@ensure_csrf_cookie
def rooms(request: HttpRequest, room_id: str = "") -> HttpResponse:
    """`/rooms`, `/rooms/<id>`: the rooms at the side, the open one in the middle. A conversation that is none is on its page."""
    user = request.user
    if room_id and conversations.is_private(caller=caller_of_user(cast("User", user).pk), conversation_id=room_id):
        return redirect(f"/?c={room_id}")
    data = {"user": {"id": user.public_id, "username": user.username}}  # type: ignore[union-attr]
    return render(request, "pages/rooms.html", {"page_data": data})


def _engine_alias() -> str | None:
    """The alias of the engine that would answer now; None when none can."""
    try:
        alias = selected_alias()
        return alias if engine(alias).check() is None else None
    except (EngineError, ImproperlyConfigured):
        return None
