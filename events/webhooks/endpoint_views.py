"""`/api/v1/webhooks`: the endpoints of an organisation, for its admins."""

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import caller_of
from accounts.bodies import SmallJSONParser
from accounts.openapi import CURSOR, nothing, page_of, query, shape
from events.models import WebhookDelivery
from events.organizations import organization_named
from events.paging import parse_id
from events.webhooks import deliveries as webhook_deliveries
from events.webhooks import endpoints as webhook_endpoints
from events.webhooks.serializers import (
    NewWebhookSerializer,
    WebhookDeliverySerializer,
    WebhookFieldsSerializer,
    WebhookSecretSerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
    WholeWebhookDeliverySerializer,
)

ORGANIZATION = query("organization", str, "May be left out by who belongs to one only.")
STATUS = query("status", str, "Only those.", enum=WebhookDelivery.Status.values)
NEW = OpenApiExample(
    "all orders",
    value={"organization": "org_demo", "url": "https://example.org/hook", "patterns": ["events.org_demo.shop.order.*.*"]},
    request_only=True,
)
OFF = "The webhook is switched off."


def _organization_of(request: Request) -> str:
    named = request.query_params.get("organization") or dict(request.data).get("organization")
    return organization_named(named, caller=caller_of(request))


class WebhookView(APIView):
    """What the addresses here share: small bodies, and answers that no cache may keep: there are secrets among them."""

    parser_classes = (SmallJSONParser,)

    def finalize_response(self, request: Request, response: Response, *args: object, **kwargs: object) -> Response:
        """For the one who asked only."""
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        return response


class EndpointsView(WebhookView):
    """`GET /api/v1/webhooks?organization=&cursor=`, `POST`."""

    @extend_schema(
        summary="List webhooks", parameters=[ORGANIZATION, CURSOR], responses={200: page_of(WebhookSerializer), 404: ""}
    )
    def get(self, request: Request) -> Response:
        """One page, newest first."""
        found, following = webhook_endpoints.list_endpoints(
            caller=caller_of(request), organization_id=_organization_of(request), cursor=request.query_params.get("cursor", "")
        )
        return Response({"results": [WebhookSerializer(each).data for each in found], "next": following})

    @extend_schema(
        summary="Register a webhook",
        description="Its secret is told in this answer, and never again.",
        request=NewWebhookSerializer,
        responses={201: WebhookWithSecretSerializer, 403: "", 404: "You belong to no such organisation.", 429: "Too many."},
        examples=[NEW],
    )
    def post(self, request: Request) -> Response:
        """201 with the webhook and its secret."""
        serializer = NewWebhookSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = dict(serializer.validated_data)
        made, secret = webhook_endpoints.create(
            caller=caller_of(request),
            organization_id=_organization_of(request),
            secret=fields.pop("secret", ""),
            fields=fields,
        )
        made.refresh_from_db()
        return Response(WebhookWithSecretSerializer(made, secret=secret).data, status=201)


class EndpointView(WebhookView):
    """`GET`, `PATCH`, `DELETE /api/v1/webhooks/<id>`."""

    @extend_schema(summary="Get a webhook", responses={200: WebhookSerializer, 403: ""})
    def get(self, request: Request, webhook_id: str) -> Response:
        """One, without its secret."""
        found = webhook_endpoints.get(caller=caller_of(request), endpoint_id=parse_id(webhook_id))
        return Response(WebhookSerializer(found).data)

    @extend_schema(
        summary="Change a webhook", request=WebhookFieldsSerializer(partial=True), responses={200: WebhookSerializer, 403: ""}
    )
    def patch(self, request: Request, webhook_id: str) -> Response:
        """The webhook as it is then."""
        serializer = WebhookFieldsSerializer(data=request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        changed = webhook_endpoints.change(
            caller=caller_of(request), endpoint_id=parse_id(webhook_id), fields=dict(serializer.validated_data)
        )
        return Response(WebhookSerializer(changed).data)

    @extend_schema(summary="Delete a webhook", description="And its deliveries.", responses={204: nothing("Deleted."), 403: ""})
    def delete(self, request: Request, webhook_id: str) -> Response:
        """204."""
        webhook_endpoints.delete(caller=caller_of(request), endpoint_id=parse_id(webhook_id))
        return Response(status=204)


class RotationView(WebhookView):
    """`POST /api/v1/webhooks/<id>/secret`: another one."""

    @extend_schema(
        summary="Replace a webhook's secret",
        description="The old one signs beside it for WEBHOOK_ROTATION_HOURS, unless `at_once` is true.",
        request=WebhookSecretSerializer,
        responses={200: WebhookWithSecretSerializer, 403: ""},
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """The webhook and its new secret."""
        serializer = WebhookSecretSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        endpoint, secret = webhook_endpoints.rotate(
            caller=caller_of(request), endpoint_id=parse_id(webhook_id), **serializer.validated_data
        )
        return Response(WebhookWithSecretSerializer(endpoint, secret=secret).data)


class TestEventView(WebhookView):
    """`POST /api/v1/webhooks/<id>/test`."""

    @extend_schema(summary="Send a test event", request=None, responses={202: WebhookDeliverySerializer, 403: "", 409: OFF})
    def post(self, request: Request, webhook_id: str) -> Response:
        """202 with the delivery."""
        made = webhook_deliveries.test(caller=caller_of(request), endpoint_id=parse_id(webhook_id))
        return Response(WebhookDeliverySerializer(made).data, status=202)


class DeliveriesView(WebhookView):
    """`GET /api/v1/webhooks/<id>/deliveries?status=&cursor=`."""

    @extend_schema(
        summary="List deliveries", parameters=[STATUS, CURSOR], responses={200: page_of(WebhookDeliverySerializer), 403: ""}
    )
    def get(self, request: Request, webhook_id: str) -> Response:
        """One page, newest first."""
        found, following = webhook_deliveries.list_deliveries(
            caller=caller_of(request),
            endpoint_id=parse_id(webhook_id),
            status=request.query_params.get("status", ""),
            cursor=request.query_params.get("cursor", ""),
        )
        return Response({"results": [WebhookDeliverySerializer(each).data for each in found], "next": following})


class DeadDeliveriesView(WebhookView):
    """`POST /api/v1/webhooks/<id>/deliveries/redeliver`: all that are dead."""

    @extend_schema(
        summary="Send dead deliveries again",
        request=None,
        responses={202: shape("Redelivered", count=serializers.IntegerField()), 403: "", 409: OFF},
    )
    def post(self, request: Request, webhook_id: str) -> Response:
        """202 `{count}`."""
        count = webhook_deliveries.redeliver_dead(caller=caller_of(request), endpoint_id=parse_id(webhook_id))
        return Response({"count": count}, status=202)


class DeliveryView(WebhookView):
    """`GET /api/v1/webhooks/<id>/deliveries/<delivery>`."""

    @extend_schema(summary="Get a delivery", responses={200: WholeWebhookDeliverySerializer, 403: ""})
    def get(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        """One, with what is posted."""
        found = webhook_deliveries.get(
            caller=caller_of(request), endpoint_id=parse_id(webhook_id), delivery_id=parse_id(delivery_id)
        )
        return Response(WholeWebhookDeliverySerializer(found).data)


class RedeliveryView(WebhookView):
    """`POST /api/v1/webhooks/<id>/deliveries/<delivery>/redeliver`: whatever became of it."""

    @extend_schema(summary="Send a delivery again", request=None, responses={202: WebhookDeliverySerializer, 403: "", 409: OFF})
    def post(self, request: Request, webhook_id: str, delivery_id: str) -> Response:
        """202 with the delivery."""
        row = webhook_deliveries.redeliver_one(
            caller=caller_of(request), endpoint_id=parse_id(webhook_id), delivery_id=parse_id(delivery_id)
        )
        return Response(WebhookDeliverySerializer(row).data, status=202)
