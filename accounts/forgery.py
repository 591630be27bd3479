"""Refuses what another site makes a browser send along with our session cookie.

Only session credentials need this: a browser attaches nothing else by itself.
"""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from rest_framework.authentication import CSRFCheck
from rest_framework.exceptions import PermissionDenied

from accounts.credentials import Scope, cookies, header_values

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class ScopeRequest(HttpRequest):
    """As much of a request, made from an ASGI scope, as Django's CSRF check reads; it has no body."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self._scope_scheme = "https" if scope.get("scheme") in ("https", "wss") else "http"
        self.method = scope.get("method", "GET").upper()
        self.path = self.path_info = scope.get("path", "")
        self.COOKIES = cookies(scope)
        self.META = _meta(scope)

    def _get_scheme(self) -> str:
        return self._scope_scheme


class ScopeCsrfCheck(CSRFCheck):
    """Django's CSRF check, with its comparison of origins open to WebSocket handshakes."""

    def origin_is_ours(self, request: HttpRequest) -> bool:
        """Whether the Origin header names our own host or one of CSRF_TRUSTED_ORIGINS."""
        return "HTTP_ORIGIN" in request.META and bool(self._origin_verified(request))  # type: ignore[attr-defined]


def refuse_forged(scope: Scope) -> None:
    """Raise DRF's PermissionDenied when a request with a session cookie may come from another site.

    An HTTP request with an unsafe method needs Django's CSRF token in the X-CSRFToken header.
    A WebSocket handshake is a GET that other sites may make: its Origin must be ours.
    """
    if scope["type"] == "websocket":
        request = ScopeRequest(scope)
        if not _check().origin_is_ours(request):
            raise PermissionDenied(
                "A WebSocket with a session cookie must come from a page of this site: the Origin header is missing or "
                "foreign. Use a ticket or a token, or add the origin to CSRF_TRUSTED_ORIGINS."
            )
    elif scope.get("method", "GET").upper() not in SAFE_METHODS:
        _require_csrf_token(ScopeRequest(scope))


def _require_csrf_token(request: HttpRequest) -> None:
    check = _check()
    check.process_request(request)
    reason = check.process_view(request, _no_view, (), {})
    if reason:
        raise PermissionDenied(
            f"{reason} A request with a session cookie must carry the `{settings.CSRF_COOKIE_NAME}` cookie's value in the "
            "X-CSRFToken header."
        )


def _check() -> ScopeCsrfCheck:
    return ScopeCsrfCheck(_no_view)


def _no_view(request: HttpRequest) -> HttpResponseBase:
    """Stands for the view and the rest of the middleware, which the check asks for and never calls."""
    raise NotImplementedError(request.path)


def _meta(scope: Scope) -> dict[str, Any]:
    server = scope.get("server") or ("unknown", 0)
    meta: dict[str, Any] = {"SERVER_NAME": server[0], "SERVER_PORT": str(server[1])}
    for raw_name in {name for name, _ in scope.get("headers", ())}:
        name = raw_name.decode("latin-1")
        # Like Django: `x_csrftoken` must not pass for `x-csrftoken`.
        if "_" not in name:
            meta["HTTP_" + name.upper().replace("-", "_")] = ",".join(header_values(scope, raw_name.lower()))
    return meta
