"""`POST /hooks/{id}`: events of other services."""

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import CharField
from rest_framework.views import APIView

from accounts.openapi import shape
from events.conf import conf
from events.exceptions import TooLarge
from events.webhooks import receiving as webhook_receiving


class WebhookInletView(APIView):
    """No credentials: the signature says who it is."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    @extend_schema(
        summary="Post a webhook",
        description="Signed after Standard Webhooks; the signature says who it is. CloudEvents are understood in both forms.",
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.HEADER)
            for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        ],
        request=OpenApiTypes.ANY,
        responses={
            200: shape("WebhookTaken", id=CharField(), topic=CharField()),
            401: "The signature, or its time, is not right.",
            404: "There is no such address, or it is switched off.",
            429: "",
        },
    )
    def post(self, request: Request, inlet_id: str) -> Response:
        """Publishes what was posted; 200 also when it was posted before."""
        declared = request.META.get("CONTENT_LENGTH") or ""
        if not declared.isdigit() or int(declared) > conf.WEBHOOK_MAX_BYTES:
            raise TooLarge(f"A body with a Content-Length of at most {conf.WEBHOOK_MAX_BYTES} bytes is accepted.")
        headers = {name.lower(): value for name, value in request.headers.items()}
        published = webhook_receiving.receive(inlet_id=inlet_id, headers=headers, body=request._request.body)
        return Response({"id": published.id, "topic": published.topic})
