"""HTTP endpoints under /api/v1/auth."""

from typing import Any, cast

from django.contrib.auth.views import LoginView as DjangoLoginView
from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField
from rest_framework.views import APIView

from accounts import services
from accounts.bodies import SmallJSONParser, checked_body
from accounts.caller import Caller
from accounts.forms import LoginForm
from accounts.openapi import nothing, page_of, shape
from accounts.serializers import (
    ApiKeyBody,
    ApiKeySerializer,
    LoginBody,
    NewApiKeySerializer,
    RefreshBody,
    TicketBody,
    TicketSerializer,
    TokenPairSerializer,
)

LONGEST_NUMBER = 19
"""Digits of what no longer fits into a primary key."""
TICKET = OpenApiExample("for the user feed", value={"path": "/api/events"}, request_only=True)


class AccountsView(APIView):
    """What the endpoints here share: small JSON bodies, and answers that no cache may keep."""

    parser_classes = (SmallJSONParser,)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Tokens, keys and lists of keys are for the one who asked."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    @property
    def caller(self) -> Caller:
        """The one who asks; there is one, since the default permission wants one."""
        return cast("Caller", self.request.auth)


class AnonymousView(AccountsView):
    """For those who have no token yet; what they present otherwise is not looked at."""

    authentication_classes = ()
    permission_classes = ()

    def get_authenticate_header(self, request: Request) -> str:  # noqa: ARG002 - DRF's signature
        """Without one DRF would answer 403 instead of 401."""
        return "Bearer"


class TokenView(AnonymousView):
    """Exchanges a name and password for tokens."""

    @extend_schema(
        summary="Log in",
        request=LoginBody,
        responses={200: TokenPairSerializer, 401: "The name or the password is wrong.", 429: "Too many attempts.", 501: ""},
    )
    def post(self, request: Request) -> Response:
        """200 `{access, refresh}`; 400, 401, 429 with Retry-After."""
        body = checked_body(LoginBody, request)
        return Response(services.log_in(**body, address=request.META.get("REMOTE_ADDR") or ""))


class RefreshView(AnonymousView):
    """Exchanges a refresh token for an access token."""

    @extend_schema(
        summary="Refresh an access token",
        request=RefreshBody,
        responses={200: shape("Access", access=CharField()), 401: "The refresh token does not hold.", 501: ""},
    )
    def post(self, request: Request) -> Response:
        """200 `{access}`; 400, 401."""
        body = checked_body(RefreshBody, request)
        return Response({"access": services.refresh(refresh_token=body["refresh"])})


class TicketsView(AccountsView):
    """Makes one-time tickets."""

    @extend_schema(summary="Make a ticket", request=TicketBody, responses={201: TicketSerializer}, examples=[TICKET])
    def post(self, request: Request) -> Response:
        """201 `{ticket, expires_in, path}`; 400, 401."""
        body = checked_body(TicketBody, request)
        return Response(services.create_ticket(caller=self.caller, path=body["path"]), status=201)


class ApiKeysView(AccountsView):
    """The caller's own API keys."""

    @extend_schema(summary="List API keys", responses=page_of(ApiKeySerializer))
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        """200 `{results: [{id, name, prefix, created_at}], next}`, newest first; there are never more pages."""
        keys = services.list_api_keys(user_pk=self.caller.pk)
        return Response({"results": ApiKeySerializer(keys, many=True).data, "next": None})

    @extend_schema(summary="Make an API key", request=ApiKeyBody, responses={201: NewApiKeySerializer, 409: "You have too many."})
    def post(self, request: Request) -> Response:
        """201 `{id, name, key, prefix}`, the only time that the key is told; 400, 401, 403, 409."""
        body = checked_body(ApiKeyBody, request)
        made = services.create_api_key(caller=self.caller, name=body["name"])
        return Response({"id": made.row.pk, "name": made.row.name, "key": made.key, "prefix": made.row.prefix}, status=201)


class ApiKeyView(AccountsView):
    """One of the caller's own API keys."""

    @extend_schema(summary="Revoke an API key", responses={204: nothing("It is revoked.")})
    def delete(self, request: Request, key_id: str) -> Response:  # noqa: ARG002 - DRF's signature
        """204; 401, 404 for keys of others and for revoked ones."""
        if not (key_id.isascii() and key_id.isdigit() and len(key_id) < LONGEST_NUMBER):
            raise NotFound("You have no such API key.")
        services.revoke_api_key(user_pk=self.caller.pk, key_id=int(key_id))
        return Response(status=204)


class LoginView(DjangoLoginView):
    """Django's log-in page, with the limit on password attempts."""

    template_name = "accounts/login.html"
    authentication_form = LoginForm

    def form_invalid(self, form: Any) -> HttpResponse:
        """The page again; 429 with Retry-After when there were too many attempts."""
        response = super().form_invalid(form)
        if form.retry_after is not None:
            response.status_code = 429
            response["Retry-After"] = str(form.retry_after)
        return response
