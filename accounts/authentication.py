"""Who is asking: `authenticate` for async code, `CallerAuthentication` for DRF views, by the same rules."""

import time
from typing import cast

from django.http import HttpRequest
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed, NotAuthenticated, PermissionDenied
from rest_framework.request import Request

from accounts.caller import Caller
from accounts.credentials import Credentials, Scope
from accounts.exceptions import IdentityUnavailable
from accounts.forgery import refuse_forged
from accounts.recent import afind_caller, find_caller
from accounts.threads import in_thread
from accounts.verification import is_active, verify

HOW_TO = "Authentication required. Send `Authorization: Bearer <token or API key>`, or log in."


async def authenticate(scope: Scope, *, fresh: bool = False) -> Caller:
    """The verified caller of an ASGI HTTP or WebSocket scope; `fresh`: as the database has it now, not a moment ago.

    Raises, all of Django REST framework: NotAuthenticated when nothing is presented,
    AuthenticationFailed when what is presented is bad, PermissionDenied when a session's
    request may be forged (see `accounts.forgery`); and IdentityUnavailable (503).
    """
    path = scope.get("path", "")
    for credential in Credentials.from_scope(scope):
        caller = await (in_thread(verify, credential, path=path) if fresh else afind_caller(credential, path=path))
        if caller is not None:
            if credential.kind == "session":
                refuse_forged(scope)
            return caller
    raise NotAuthenticated(HOW_TO)


async def still_valid(scope: Scope, caller: Caller, *, fresh: bool = False) -> bool:
    """Whether the caller of an open stream would be let in again; True while the database cannot say.

    A ticket is used up: its caller stays as long as the credential that asked for it, and the user is active.
    `fresh`: see `authenticate`.
    """
    if caller.expires_at is not None and time.time() >= caller.expires_at:
        return False
    try:
        if caller.credential == "ticket":
            return await in_thread(is_active, caller.pk)
        return (await authenticate(scope, fresh=fresh)).pk == caller.pk
    except IdentityUnavailable:
        return True
    except (NotAuthenticated, AuthenticationFailed, PermissionDenied):
        return False


class CallerAuthentication(BaseAuthentication):
    """DRF authentication: `request.user` and `request.auth` are the `Caller`."""

    def authenticate(self, request: Request) -> tuple[Caller, Caller] | None:
        """The caller twice, or None when nothing is presented; raises as `accounts.authentication.authenticate`."""
        scope = scope_of(request._request)
        # Django's test client asks for this; nothing outside a test sets it.
        skip_csrf = getattr(request._request, "_dont_enforce_csrf_checks", False)
        for credential in Credentials.from_scope(scope):
            caller = find_caller(credential, path=scope["path"])
            if caller is not None:
                if credential.kind == "session" and not skip_csrf:
                    refuse_forged(scope)
                return caller, caller
        return None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        """For `WWW-Authenticate`; having one makes DRF answer 401 and not 403."""
        return "Bearer"


def caller_of(request: Request) -> Caller:
    """Who asks, in a DRF view that needs credentials."""
    return cast("Caller", request.auth)


def scope_of(request: HttpRequest) -> Scope:
    """The ASGI scope of a Django request; made from META where the request has none (WSGI, Django's test client)."""
    scope: Scope | None = getattr(request, "scope", None)
    if scope is not None:
        return scope
    headers = [
        (name.removeprefix("HTTP_").replace("_", "-").lower().encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in request.META.items()
        if name.startswith("HTTP_") and isinstance(value, str)
    ]
    return {
        "type": "http",
        "method": request.method or "GET",
        "scheme": request.scheme or "http",
        "path": request.path,
        "query_string": request.META.get("QUERY_STRING", "").encode("latin-1", "replace"),
        "headers": headers,
        "server": (request.META.get("SERVER_NAME", "unknown"), request.META.get("SERVER_PORT", "0")),
    }
