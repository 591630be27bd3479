"""The chat page."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie

from chat.conf import conf


@login_required
@ensure_csrf_cookie
def chat(request: HttpRequest) -> HttpResponse:
    """`/`: conversations at the side, the open one in the middle."""
    user = request.user
    data = {"user": {"id": user.public_id, "username": user.username}, "engine": conf.CHAT_ENGINE}  # type: ignore[union-attr]
    return render(request, "chat/page.html", {"page_data": data})
