"""Rules, preferences, activity and push subscriptions over REST."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.bodies import SmallJSONParser
from accounts.openapi import (
    CURSOR,
    nothing,
    page_of,
    query,
    shape,
)
from events.organizations import organization_named
from events.paging import parse_id
from notifications import online, preferences, push, rehearsals, rules
from notifications.preferences import Quiet
from notifications.rule_serializers import (
    EndpointSerializer,
    NewRuleSerializer,
    PreferencesSerializer,
    PreferencesToldSerializer,
    QuietSerializer,
    RehearsalSerializer,
    RuleFieldsSerializer,
    RuleSerializer,
    SubscriptionSerializer,
    told_choice,
)

ORGANIZATION = query("organization", str, "May be left out by who belongs to one only.")
RULE = OpenApiExample(
    "a task is done",
    value={
        "name": "Tasks",
        "pattern": "events.org_demo.tasks.task.completed.*",
        "title": "{{ payload.title }} is done",
        "channels": ["websocket"],
        "recipients": ["user:user_demo"],
    },
    request_only=True,
)


def _organization_of(request: Request) -> str:
    """The organisation that a request names, or the caller's only one. Raises `InvalidRequest`."""
    named = request.query_params.get("organization") or dict(request.data).get("organization")
    return organization_named(named, caller=caller_of(request))


class RulesView(APIView):
    """`GET /api/v1/notifications/rules?organization=&cursor=`, `POST`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="List rules", parameters=[ORGANIZATION, CURSOR], responses={200: page_of(RuleSerializer), 404: ""})
    def get(self, request: Request) -> Response:
        """One page, newest first."""
        caller = caller_of(request)
        found, following = rules.list_rules(
            caller=caller, organization_id=_organization_of(request), cursor=request.query_params.get("cursor", "")
        )
        return Response({"results": [RuleSerializer(each).data for each in found], "next": following})

    @extend_schema(
        summary="Make a rule",
        parameters=[ORGANIZATION],
        request=NewRuleSerializer,
        responses={201: RuleSerializer, 404: "", 429: "There are too many."},
        examples=[RULE],
    )
    def post(self, request: Request) -> Response:
        """201 with the rule."""
        made = rules.create(caller=caller_of(request), organization_id=_organization_of(request), fields=_fields(request))
        made.refresh_from_db()
        return Response(RuleSerializer(made).data, status=201)


class RuleView(APIView):
    """`GET`, `PATCH`, `DELETE /api/v1/notifications/rules/<id>`."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="Get a rule", responses=RuleSerializer)
    def get(self, request: Request, rule_id: str) -> Response:
        """One."""
        return Response(RuleSerializer(rules.get(caller=caller_of(request), rule_id=parse_id(rule_id))).data)

    @extend_schema(summary="Change a rule", request=RuleFieldsSerializer(partial=True), responses=RuleSerializer)
    def patch(self, request: Request, rule_id: str) -> Response:
        """The rule as it is then."""
        changed = rules.change(caller=caller_of(request), rule_id=parse_id(rule_id), fields=_fields(request, partial=True))
        return Response(RuleSerializer(changed).data)

    @extend_schema(summary="Delete a rule", responses={204: nothing("It is deleted."), 409: "It is built in."})
    def delete(self, request: Request, rule_id: str) -> Response:
        """204."""
        rules.delete(caller=caller_of(request), rule_id=parse_id(rule_id))
        return Response(status=204)


class RehearsalView(APIView):
    """`POST /api/v1/notifications/rules/rehearsal`: a dry run of a rule that need not be saved, over the latest events."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(
        summary="Rehearse a rule",
        parameters=[ORGANIZATION],
        request=NewRuleSerializer,
        responses={200: RehearsalSerializer, 404: "", 429: ""},
        examples=[RULE],
    )
    def post(self, request: Request) -> Response:
        """`{looked_at, matched, results}`."""
        organization_id = _organization_of(request)
        found = rehearsals.rehearse(caller=caller_of(request), organization_id=organization_id, fields=_fields(request))
        return Response(found)


def _fields(request: Request, *, partial: bool = False) -> dict[str, object]:
    serializer = RuleFieldsSerializer(data=request.data, partial=partial)
    serializer.is_valid(raise_exception=True)
    return serializer.to_fields()


class PreferencesView(APIView):
    """`GET`, `PATCH /api/v1/notifications/preferences`: the caller's."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="Get preferences", responses=PreferencesToldSerializer)
    def get(self, request: Request) -> Response:
        """`{choices, quiet}`."""
        choices, quiet = preferences.chosen(caller=caller_of(request))
        return Response(
            {"choices": [told_choice(each) for each in choices], "quiet": QuietSerializer(quiet).data if quiet else None}
        )

    @extend_schema(
        summary="Change preferences", request=PreferencesSerializer, responses={200: PreferencesToldSerializer, 404: ""}
    )
    def patch(self, request: Request) -> Response:
        """As they are then."""
        serializer = PreferencesSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked, caller = serializer.validated_data, caller_of(request)
        wanted = [(each["rule"], each["channel"], each["enabled"]) for each in asked.get("choices", ())]
        quiet = asked.get("quiet")
        if "quiet" in asked:
            preferences.set_quiet(caller=caller, quiet=Quiet(**quiet) if quiet else None)
        preferences.choose(caller=caller, choices=wanted)
        return self.get(request)


class ActivityView(APIView):
    """`POST /api/v1/notifications/activity`: the caller does something on a page just now."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(summary="Note activity", request=None, responses={204: nothing("It is noted.")})
    def post(self, request: Request) -> Response:
        """204."""
        online.note_activity(caller=caller_of(request))
        return Response(status=204)


class PushKeyView(APIView):
    """`GET /api/v1/push/key`: what a browser subscribes with (`applicationServerKey`)."""

    @extend_schema(summary="Get the push key", responses=shape("PushKey", key=serializers.CharField()))
    def get(self, request: Request) -> Response:  # noqa: ARG002 - DRF's signature
        """`{key}`, base64url."""
        return Response({"key": push.key().public_key})


class PushSubscriptionsView(APIView):
    """`POST`, `DELETE /api/v1/push/subscriptions`: the caller's browser takes pushes, or no more."""

    parser_classes = (SmallJSONParser,)

    @extend_schema(
        summary="Subscribe a browser",
        request=SubscriptionSerializer,
        responses={201: shape("PushSubscription", id=serializers.UUIDField()), 409: "", 429: ""},
    )
    def post(self, request: Request) -> Response:
        """201 with the id."""
        serializer = SubscriptionSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        asked = serializer.validated_data
        made = push.subscribe(caller=caller_of(request), endpoint=asked["endpoint"], **asked["keys"])
        return Response({"id": str(made.pk)}, status=201)

    @extend_schema(summary="Unsubscribe a browser", request=EndpointSerializer, responses={204: nothing("It is unsubscribed.")})
    def delete(self, request: Request) -> Response:
        """204, also when there was none."""
        serializer = EndpointSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        push.unsubscribe(caller=caller_of(request), endpoint=serializer.validated_data["endpoint"])
        return Response(status=204)
