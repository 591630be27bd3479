"""The inbox over REST, its page, and notifying for staff."""

from django.contrib.auth.decorators import login_required
from django.contrib.staticfiles import finders
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, ensure_csrf_cookie
from django.views.decorators.http import require_http_methods, require_safe
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission, IsAdminUser, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import ListField, UUIDField
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.bodies import SmallJSONParser
from accounts.models import Organization
from accounts.openapi import (
    CURSOR,
    nothing,
    query,
    shape,
)
from accounts.verification import caller_of_user
from events.exceptions import NotFound
from events.paging import parse_id
from notifications import inbox, services, unsubscribing
from notifications.inbox import Action, Chosen
from notifications.serializers import (
    STATES,
    ActionSerializer,
    CountsSerializer,
    NewNotificationSerializer,
    NotificationPageSerializer,
    NotificationSerializer,
)


@login_required
@ensure_csrf_cookie
def notifications_page(request: HttpRequest) -> HttpResponse:
    """`/notifications`: the inbox."""
    return render(request, "pages/notifications.html")


@login_required
@ensure_csrf_cookie
def settings_page(request: HttpRequest) -> HttpResponse:
    """`/notifications/settings`: preferences, quiet hours, push, and rules."""
    caller = caller_of_user(request.user.pk)  # type: ignore[arg-type]  # logged in
    organizations = Organization.objects.filter(public_id__in=caller.organizations).order_by("name")
    told = {"organizations": [each.public_id for each in organizations], "user_id": caller.user_id}
    return render(request, "pages/notification_settings.html", {"organizations": organizations, "organizations_json": told})


@never_cache
@csrf_exempt  # a mail program posts here, and has no cookie; the address is the secret
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe_page(request: HttpRequest, token: str) -> HttpResponse:
    """`/notifications/unsubscribe/<token>`: a POST ends the mails (RFC 8058). A GET only asks: mail servers follow links."""
    try:
        found = unsubscribing.unsubscribe(token) if request.method == "POST" else unsubscribing.opened(token)
        context, status = {"rule": found.rule.name, "done": request.method == "POST"}, 200
    except NotFound as error:
        context, status = {"problem": error.message}, 404
    response = render(request, "notifications/unsubscribe.html", context, status=status)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@require_safe
def push_worker(request: HttpRequest) -> FileResponse:  # noqa: ARG001 - Django's signature
    """`/notifications/push-worker.js`: the service worker, at an address above whose scope browsers let it work."""
    path = str(finders.find("notifications/push-worker.js"))
    headers = {"Service-Worker-Allowed": "/", "Cache-Control": "no-cache"}
    return FileResponse(open(path, "rb"), content_type="text/javascript; charset=utf-8", headers=headers)


class NotificationsView(APIView):
    """`GET /api/v1/notifications?state=&cursor=`: the caller's; `POST`: notifies others, for staff."""

    parser_classes = (SmallJSONParser,)

    def get_permissions(self) -> list[BasePermission]:
        """Everyone has an inbox; only staff and service accounts fill those of others."""
        return [IsAdminUser() if self.request.method == "POST" else IsAuthenticated()]

    @extend_schema(
        summary="List notifications",
        parameters=[query("state", str, "Without it all that is not archived.", enum=["", *STATES]), CURSOR],
        responses=NotificationPageSerializer,
    )
    def get(self, request: Request) -> Response:
        """One page, newest first, and how many there are in each state."""
        caller, asked = caller_of(request), request.query_params
        found, following = inbox.list_notifications(caller=caller, state=asked.get("state", ""), cursor=asked.get("cursor", ""))
        told = [NotificationSerializer(each).data for each in found]
        return Response({"results": told, "next": following, "counts": inbox.counts(caller=caller)})

    @extend_schema(
        summary="Notify",
        description="For staff and service accounts.",
        request=NewNotificationSerializer,
        responses={201: shape("NewNotifications", ids=ListField(child=UUIDField())), 404: "There is no such user."},
        examples=[OpenApiExample("for one", value={"user": "user_alice", "title": "The report is done."}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """201 with the ids, in the order of the users; those of users who knew already are the old ones."""
        serializer = NewNotificationSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        made = services.notify(
            users=services.active_users(asked["users"]),
            title=asked["title"],
            body=asked["body"],
            action_url=asked["action_url"],
            priority=asked["priority"],
            key=asked["idempotency_key"],
        )
        return Response({"ids": [str(row.pk) for row in made]}, status=201)


class CountsView(APIView):
    """`GET /api/v1/notifications/counts`."""

    @extend_schema(summary="Count notifications", responses=CountsSerializer)
    def get(self, request: Request) -> Response:
        """How many there are in each state, and unread."""
        return Response({"counts": inbox.counts(caller=caller_of(request))})


class ActionsView(APIView):
    """`POST /api/v1/notifications/actions`: one action for many."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="Change many notifications", request=ActionSerializer, responses={200: CountsSerializer, 404: ""})
    def post(self, request: Request) -> Response:
        """The counts afterwards."""
        serializer = ActionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        action = Action(serializer.validated_data["action"])
        return Response({"counts": inbox.act(caller=caller_of(request), action=action, chosen=serializer.to_chosen())})


class NotificationView(APIView):
    """`GET`, `DELETE /api/v1/notifications/<id>`."""

    @extend_schema(summary="Get a notification", responses=NotificationSerializer)
    def get(self, request: Request, notification_id: str) -> Response:
        """One."""
        found = inbox.get(caller=caller_of(request), notification_id=parse_id(notification_id))
        return Response(NotificationSerializer(found).data)

    @extend_schema(summary="Delete a notification", responses={204: nothing("It is deleted.")})
    def delete(self, request: Request, notification_id: str) -> Response:
        """Deletes it."""
        inbox.act(caller=caller_of(request), action=Action.DELETE, chosen=Chosen(ids=[parse_id(notification_id)]))
        return Response(status=204)


class ActionView(APIView):
    """`POST /api/v1/notifications/<id>/<action>`."""

    @extend_schema(
        summary="Change a notification",
        parameters=[OpenApiParameter("action", str, OpenApiParameter.PATH, enum=[str(each) for each in Action])],
        request=None,
        responses=CountsSerializer,
    )
    def post(self, request: Request, notification_id: str, action: str) -> Response:
        """The counts afterwards."""
        if action not in set(Action):
            raise NotFound(f"A notification can be {', '.join(Action)}; there is no action {action!r}.")
        chosen = Chosen(ids=[parse_id(notification_id)])
        return Response({"counts": inbox.act(caller=caller_of(request), action=Action(action), chosen=chosen)})
