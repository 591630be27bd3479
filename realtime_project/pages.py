"""Pages that stand for no single app: what someone who is logged in sees of their sources and of their feed."""

from typing import cast

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.csrf import ensure_csrf_cookie

from accounts import services as accounts
from accounts.models import User
from knowledge.conf import conf as knowledge_conf
from knowledge.extraction.kinds import KINDS
from knowledge.services.files import size_text


@login_required
@ensure_csrf_cookie
def sources(request: HttpRequest) -> HttpResponse:
    """`/sources`: what is searched in, and how its taking in goes."""
    largest = knowledge_conf.KNOWLEDGE_MAX_BYTES
    context = {"page_data": {"max_bytes": largest}, "kinds": list(KINDS), "largest": size_text(largest)}
    return render(request, "pages/sources.html", context)


@login_required
@ensure_csrf_cookie
def explorer(request: HttpRequest) -> HttpResponse:
    """`/explorer`: topics and the user's own feed, live."""
    # Only the beginning of a pattern that the user may change.
    organizations = accounts.organization_ids(user=cast("User", request.user))
    return render(request, "pages/explorer.html", {"organization": next(iter(organizations), "your-organisation")})


@login_required
@ensure_csrf_cookie
def ops(request: HttpRequest) -> HttpResponse:
    """`/ops`: how the server is doing, and who is connected. For staff."""
    if not request.user.is_staff:
        raise PermissionDenied
    return render(request, "pages/ops.html")
