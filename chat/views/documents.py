"""The page of documents, and what its frames show."""

from collections.abc import Callable
from typing import cast

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from accounts.caller import Caller
from accounts.models import User
from accounts.verification import caller_of_user
from chat.conf import conf
from chat.services import previews
from events.exceptions import InvalidRequest, NotFound
from events.paging import parse_id

POLICY = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
"""Whatever is in the document: it runs no script, loads nothing from anywhere, and is a stranger to this server's pages."""
STYLE = """
:root { color-scheme: light; }
body { margin: 0.75rem; font: 15px/1.55 system-ui, "Liberation Sans", Arial, sans-serif; overflow-wrap: anywhere; }
del { background: #fbdcd7; color: #7c1d14; text-decoration: line-through; }
ins { background: #cdeedd; color: #0d4a2d; text-decoration: none; box-shadow: inset 0 -2px #1c7a4d; }
table { border-collapse: collapse; } td, th { border: 1px solid #cfcbc0; padding: 0.2rem 0.5rem; }
body > :first-child { margin-top: 0; } body > :last-child { margin-bottom: 0; }
"""


@login_required
@ensure_csrf_cookie
def page(request: HttpRequest) -> HttpResponse:
    """`/documents`: documents that are edited, and what is proposed for them."""
    user = cast("User", request.user)
    data = {"username": user.username, "max_bytes": conf.EDITING_DOCUMENT_MAX_BYTES}
    return render(request, "pages/documents.html", {"page_data": data})


@login_required
@require_safe
@xframe_options_sameorigin
def change(request: HttpRequest, job_id: str, change_id: str, side: str) -> HttpResponse:
    """`/documents/changes/<job>/<change>/<old|new>`: one side of a proposed change."""
    caller = _caller(request)
    return _framed(lambda: previews.change(caller=caller, job_id=parse_id(job_id), change_id=change_id, side=side), STYLE)


@login_required
@require_safe
@xframe_options_sameorigin
def version(request: HttpRequest, version_id: str) -> HttpResponse:
    """`/documents/versions/<id>`: a whole version, as it is."""
    return _framed(lambda: previews.version(caller=_caller(request), version_id=parse_id(version_id)), "")


def _caller(request: HttpRequest) -> Caller:
    return caller_of_user(cast("User", request.user).pk)


def _framed(html: Callable[[], str], style: str) -> HttpResponse:
    try:
        body = html()
    except (NotFound, InvalidRequest) as error:
        raise Http404(error.message) from error
    # Not a template: it is a document of its own, whatever is in it.
    before = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Preview</title><style>{style}</style>' if style else ""
    response = HttpResponse(f"{before}{body}", charset="utf-8")
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-store"
    return response
